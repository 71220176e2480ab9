"""Who may see what: the one place where a principal becomes a filter, for Qdrant and for SQLite.

A document belongs to a tenant. Without groups it is open to the whole tenant; with groups, to
whoever is in one of them. An admin sees all of the tenant.
"""

from collections.abc import Sequence

from qdrant_client import models

from bulkhead.auth import Principal, Role
from retriever.index.filter_points import conditions
from retriever.index.filters import Filters

EVERYONE = "*"
"""Stands in a point's groups when its document has none: open to the whole tenant."""


def visible_points(
    principal: Principal, filters: Filters = (), hidden: Sequence[str] = ()
) -> models.Filter:
    """The Qdrant filter for what `principal` may see, narrowed by `filters`.

    `hidden` are ids of documents that are not, or no longer, to be seen by anybody.
    """
    must: list[models.Condition] = [
        models.FieldCondition(key="tenant", match=models.MatchValue(value=principal.tenant))
    ]
    if principal.role is not Role.ADMIN:
        groups = models.MatchAny(any=[EVERYONE, *sorted(principal.groups)])
        must.append(models.FieldCondition(key="groups", match=groups))
    wanted, unwanted = conditions(filters)
    must += wanted
    must_not = unwanted
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
