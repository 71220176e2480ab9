"""Who may see what: the one place where a principal becomes a filter, for Qdrant and for SQL.

A document belongs to a tenant. Without groups it is open to the whole tenant; with groups, to
whoever is in one of them. An admin sees all of the tenant.
"""

from collections.abc import Sequence

from qdrant_client import models
from sqlalchemy import ColumnElement, Text, and_, literal, literal_column, or_
from sqlalchemy.dialects.postgresql import ARRAY

from bulkhead.auth import Principal, Role
from retriever.index.filter_points import conditions
from retriever.index.filters import Filters
from retriever.state.schema import documents, jobs

LIVE: ColumnElement[str] = literal_column("'live'")

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


def visible_documents(principal: Principal) -> ColumnElement[bool]:
    """The condition on `documents` for what `principal` may see."""
    condition = and_(documents.c.state == LIVE, documents.c.tenant == principal.tenant)
    if principal.role is not Role.ADMIN:
        theirs = literal(sorted(principal.groups), ARRAY(Text))
        open_to_all = documents.c.groups == literal_column("'{}'")
        condition = and_(condition, or_(open_to_all, documents.c.groups.overlap(theirs)))
    return condition


def visible_jobs(principal: Principal) -> ColumnElement[bool]:
    """The condition on `jobs` for what `principal` may see: its own, an admin the tenant's."""
    condition = jobs.c.tenant == principal.tenant
    if principal.role is not Role.ADMIN:
        condition = and_(condition, jobs.c.key_id == principal.key_id)
    return condition
