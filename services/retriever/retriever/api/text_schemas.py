"""A document as text, as it is handed in: what each of its fields may hold."""

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from retriever.api.names import named
from retriever.index.filters import fits, whole
from retriever.ingest.items import EXTRACTED, NewItem

MOST_DOCUMENTS = 1000
"""Documents that one request may bring."""
MOST_GROUPS = 64
MOST_VALUES = 200_000
"""Values in a body of texts: of each document its groups, its metadata and the rest."""
_LONGEST_VALUE = 1000
_MOST_METADATA = 16 * 2**10
"""Bytes of a document's metadata as JSON; each of its chunks has a copy."""

Group = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def _value(value: object) -> object:
    if isinstance(value, list):
        if any(one is None or isinstance(one, list | dict) for one in value):
            raise _unfit("a list holds texts, numbers, true and false")
        return [_value(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > _LONGEST_VALUE:
            raise _unfit(f"a text has at most {_LONGEST_VALUE} characters, here are {len(value)}")
        return value
    if not isinstance(value, int | float):
        raise _unfit("a value is text, a number, true, false, null or a list of such")
    if not fits(value):
        raise _unfit("a number has at most 64 bits; send it as text")
    return whole(value)


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    size = len(orjson.dumps(metadata))
    if size > _MOST_METADATA:
        raise _unfit(f"it has at most {_MOST_METADATA} bytes as JSON, here are {size}")
    return metadata


def _unfit(reason: str) -> PydanticCustomError:
    return PydanticCustomError("unfit", "{reason}", {"reason": reason})


_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_SCALARS = [{"type": kind} for kind in ("string", "number", "boolean")]
_Value = Annotated[
    Any,
    AfterValidator(_value),
    WithJsonSchema(
        {"anyOf": [*_SCALARS, {"type": "null"}, {"type": "array", "items": {"anyOf": _SCALARS}}]}
    ),
]
_Line = Annotated[
    str | None,
    Field(max_length=1000),
    AfterValidator(lambda line: line if line and line.strip() else None),
]
"""A text of one line, or none where it is empty."""


class Sharing(BaseModel):
    """Who may see a document, and what is noted of it."""

    model_config = ConfigDict(extra="forbid")

    groups: list[Group] = Field(
        [], max_length=MOST_GROUPS, description="Who may see it; none: the whole tenant."
    )
    metadata: Annotated[dict[_Key, _Value], AfterValidator(_metadata)] = Field(
        {},
        max_length=64,
        description="Your own fields; searches can filter by them. A value is text, a number, "
        "true, false, null or a list; a date is text, as 2024-05-01T09:30:00+02:00. A text has "
        "at most 1,000 characters, a number 64 bits, all together 16 KiB as JSON.",
    )


class TextDocument(Sharing):
    """A document as text. It is kept as it is: every offset points into exactly this text."""

    text: str = Field(min_length=1, examples=["# Ports\n\nThe retriever listens on port 8080."])
    title: _Line = Field(None, examples=["Ports"])
    source: _Line = Field(
        None,
        description="Where it is from. A changed document with the same source replaces the old "
        "one. Left out, the title stands for it.",
        examples=["wiki/ports"],
    )

    def item(self, upload: str, digest: str, source: str | None) -> NewItem:
        """As it waits; `digest` of its text is in its name where it has no other."""
        return NewItem(
            source=named(source or self.title or f"text:{digest[:16]}"),
            title=self.title,
            media_type=EXTRACTED,
            groups=tuple(sorted(set(self.groups))),
            metadata=self.metadata,
            upload=upload,
            digest=digest,
        )


class TextDocuments(BaseModel):
    """Documents as text."""

    model_config = ConfigDict(extra="forbid")

    documents: list[TextDocument] = Field(min_length=1, max_length=MOST_DOCUMENTS)
