"""How rows become what callers see, and back."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Table, literal, tuple_
from sqlalchemy.types import DateTime, Text

from bulkhead.errors import InvalidValue


def moment(at: datetime) -> str:
    """A time as callers see it: UTC, sortable as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def cursor_of(created_at: str, one: str) -> str:
    """Where a page ends: after this row."""
    return f"{created_at}~{one}"


def beyond(table: Table, cursor: str, *, newest_first: bool = False) -> ColumnElement[bool]:
    """The condition for the rows after `cursor`. Raises `InvalidValue`."""
    at, _, one = cursor.rpartition("~")
    try:
        stamp = datetime.fromisoformat(at)
        if stamp.tzinfo is None:
            raise ValueError
    except ValueError as error:
        raise InvalidValue("cursor: use next_cursor of the page before, unchanged") from error
    place = tuple_(table.c.created_at, table.c.id)
    end = tuple_(literal(stamp, DateTime(timezone=True)), literal(one, Text))
    return place < end if newest_first else place > end
