"""Filters as the OpenAPI document describes them; `index.filters` reads them."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

_VALUE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "maxLength": 1000},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
    ],
    "description": "Null: the field is not there.",
}
_VALUES = {"type": "array", "minItems": 1, "maxItems": 1000, "items": _VALUE}
_END = {
    "anyOf": [{"type": "number"}, {"type": "string"}],
    "description": "A number, or a date as 2024-05-01 or 2024-05-01T09:30:00+02:00.",
}
_OPERATORS = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("gt", "gte", "lt", "lte"), _END),
        "any_of": _VALUES,
        "none_of": _VALUES,
        "exists": {"type": "boolean"},
    },
}
_CONDITION = {"anyOf": [*_VALUE["anyOf"], _VALUES, _OPERATORS]}
_CONDITIONS = {
    "type": "object",
    "maxProperties": 64,
    "propertyNames": {"pattern": r"^(file_metadata\.)?[A-Za-z0-9_-]{1,64}$"},
    "additionalProperties": _CONDITION,
}
SCHEMA: dict[str, Any] = {
    **_CONDITIONS,
    "properties": {
        "not": {**_CONDITIONS, "description": "Conditions of which none may hold; not nested."}
    },
}
DESCRIPTION = (
    "Field (`document_id`, `source`, `title`, `media_type`, a metadata key, or `file_metadata.` and"
    " a key of the file's own) to a condition; all must hold. A condition is a value, a list of"
    " which any value will do, or operators. A field that holds a list meets it with one of its"
    " values. A date without a time is the whole day, without a zone it is UTC. At most 64 fields"
    " and 1,000 values."
)

Filter = Annotated[
    dict[str, Any],
    WithJsonSchema(SCHEMA),
    Field(
        description=DESCRIPTION,
        examples=[
            {
                "source": ["handbook.pdf", "faq.html"],
                "published": {"gte": "2024-01-01", "lt": "2025-01-01"},
                "team": {"exists": True},
                "not": {"status": "draft"},
            }
        ],
    ),
]
