"""Who may see what: the one place where a principal becomes a filter, for Qdrant and for SQLite.

A document belongs to a tenant. Without groups it is open to the whole tenant; with groups, to
whoever is in one of them. An admin sees all of the tenant.
"""

import re
from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from bulkhead.auth import Principal, Role
from bulkhead.errors import InvalidValue

EVERYONE = "*"
"""Stands in a point's groups when its document has none: open to the whole tenant."""

Filters = dict[str, Any]
"""Field to a value or a list of values; under `not`, what must not match."""

_FIELDS = {"document_id", "source", "title", "media_type"}
_METADATA_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_FIELDS = 64
_MOST_VALUES = 1000
_LONGEST_VALUE = 1000
"""Characters of a title, a source and a text in metadata."""


def visible_points(
    principal: Principal, filters: Filters | None = None, hidden: Sequence[str] = ()
) -> models.Filter:
    """The Qdrant filter for what `principal` may see, narrowed by `filters`.

    `hidden` are ids of documents that are not, or no longer, to be seen by anybody.

    Raises `InvalidValue` for a filter that cannot be understood.
    """
    must: list[models.Condition] = [
        models.FieldCondition(key="tenant", match=models.MatchValue(value=principal.tenant))
    ]
    if principal.role is not Role.ADMIN:
        groups = models.MatchAny(any=[EVERYONE, *sorted(principal.groups)])
        must.append(models.FieldCondition(key="groups", match=groups))
    wanted = dict(filters or {})
    unwanted = wanted.pop("not", {})
    if not isinstance(unwanted, dict):
        raise InvalidValue("filters.not must be an object of field to value")
    _bound(wanted, unwanted)
    must += [_condition(field, value) for field, value in wanted.items()]
    must_not: list[models.Condition] = [
        _condition(field, value) for field, value in unwanted.items()
    ]
    if hidden:
        these = models.MatchAny(any=list(hidden))
        must_not.append(models.FieldCondition(key="document_id", match=these))
    return models.Filter(must=must, must_not=must_not or None)


def visible_documents(principal: Principal) -> tuple[str, list[str]]:
    """The SQL condition on `documents` for what `principal` may see, and its parameters."""
    condition = "state = 'live' AND tenant = ?"
    parameters = [principal.tenant]
    if principal.role is not Role.ADMIN:
        marks = ", ".join("?" * len(principal.groups))
        shared = f"SELECT 1 FROM json_each(documents.groups) WHERE value IN ({marks})"  # noqa: S608
        condition += f" AND (groups = '[]' OR EXISTS ({shared}))"
        parameters += sorted(principal.groups)
    return condition, parameters


def visible_jobs(principal: Principal) -> tuple[str, list[str]]:
    """The SQL condition on `jobs` for what `principal` may see: its own, an admin the tenant's."""
    if principal.role is Role.ADMIN:
        return "tenant = ?", [principal.tenant]
    return "tenant = ? AND key_id = ?", [principal.tenant, principal.key_id]


def _bound(*filters: Filters) -> None:
    if sum(map(len, filters)) > _MOST_FIELDS:
        raise InvalidValue(f"filters: at most {_MOST_FIELDS} fields")
    lists = (one for each in filters for one in each.values() if isinstance(one, list))
    if sum(map(len, lists)) > _MOST_VALUES:
        raise InvalidValue(f"filters: at most {_MOST_VALUES} values in all lists together")


def _condition(field: str, value: object) -> models.FieldCondition:
    if field not in _FIELDS and not _METADATA_KEY.fullmatch(field):
        raise InvalidValue(f"filters: {field[:64]!r} is not a field or a metadata key")
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidValue(f"filters.{field}: give 1 to {_MOST_VALUES} values")
    if not all(isinstance(one, str | int) for one in values):
        raise InvalidValue(f"filters.{field}: values are strings, whole numbers or booleans")
    if any(isinstance(one, int) and not -(2**63) <= one < 2**63 for one in values):
        raise InvalidValue(f"filters.{field}: a whole number has at most 64 bits")
    if any(isinstance(one, str) and len(one) > _LONGEST_VALUE for one in values):
        raise InvalidValue(f"filters.{field}: a text has at most {_LONGEST_VALUE} characters")
    key = field if field in _FIELDS else f"metadata.{field}"
    if len(values) == 1:
        return models.FieldCondition(key=key, match=models.MatchValue(value=values[0]))
    if any(isinstance(one, bool) for one in values) or len({type(one) for one in values}) > 1:
        raise InvalidValue(f"filters.{field}: a list holds only strings or only whole numbers")
    return models.FieldCondition(key=key, match=models.MatchAny(any=values))
