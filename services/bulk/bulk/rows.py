"""Rows of Parquet and JSON Lines as documents: checked as the API checks what it is handed."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from bulk.model import Failed, Found
from bulkhead.errors import ApiError
from retriever.api.names import named, refuse_tools
from retriever.api.text_schemas import TextDocument

_MOST_REASON = 300


@dataclass(frozen=True, slots=True)
class Columns:
    """What the fields of a document are called in the corpus."""

    text: str = "text"
    title: str = "title"
    source: str = "source"
    groups: str = "groups"
    metadata: tuple[str, ...] | None = None
    """The columns that become metadata; none: all that are not the above."""


@dataclass(frozen=True, slots=True)
class Taking:
    """How documents of a run are taken."""

    groups: tuple[str, ...]
    """Who may see them; a row's own must be among these."""
    columns: Columns
    max_bytes: int
    prefix: str = ""


def document(row: object, place: str, taking: Taking) -> Found | Failed:
    """The document that a row is, or why it is none."""
    source: str | None = None
    try:
        if not isinstance(row, dict):
            return Failed(place, "a document is a JSON object")
        source = _source(row, taking)
        one = TextDocument.model_validate(_fields(row, taking))
        data = one.text.encode()
        if len(data) > taking.max_bytes:
            return Failed(place, f"a document may hold at most {taking.max_bytes} bytes", source)
        foreign = set(one.groups) - set(taking.groups)
        if foreign:
            reason = f"groups: {min(foreign)!r} is none of the run's (--groups)"
            return Failed(place, reason, source)
        refuse_tools(one.source or one.title or "", "source")
    except ValidationError as error:
        return Failed(place, _invalid(error), source)
    except UnicodeEncodeError:
        return Failed(place, "text: it holds half of a surrogate pair", source)
    except ApiError as error:
        return Failed(place, error.message, source)
    except ValueError as error:
        return Failed(place, str(error)[:_MOST_REASON], source)
    digest = hashlib.sha256(data).hexdigest()
    new = one.item(place, digest, source)
    if "\0" in new.source or "\0" in (new.title or ""):
        return Failed(place, "a title or source holds a NUL")
    return Found(new, data)


def _source(row: Mapping[str, Any], taking: Taking) -> str | None:
    """What the row says that it is called; a number is one of an id's forms."""
    told = row.get(taking.columns.source)
    if isinstance(told, bool) or not isinstance(told, str | int):
        return None
    told = str(told)
    return named(taking.prefix + told) if told.strip() else None


def _fields(row: Mapping[str, Any], taking: Taking) -> dict[str, Any]:
    columns = taking.columns
    told = row.get(columns.source)
    fields: dict[str, Any] = {
        "text": _text(row.get(columns.text), columns.text),
        "title": row.get(columns.title),
        "source": _source(row, taking) if isinstance(told, int) else told,
        "groups": row.get(columns.groups) or list(taking.groups),
    }
    own = {columns.text, columns.title, columns.source, columns.groups}
    metadata = row.get("metadata")
    if columns.metadata is None and isinstance(metadata, dict):
        own.add("metadata")
        others = {**metadata, **{key: row[key] for key in row if key not in own}}
    else:
        wanted = (
            columns.metadata if columns.metadata is not None else [k for k in row if k not in own]
        )
        others = {key: row[key] for key in wanted if key in row}
    fields["metadata"] = {key: plain(value) for key, value in others.items() if value is not None}
    return fields


def _text(value: object, name: str) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: not UTF-8 at byte {error.start}") from error
    return value


def plain(value: object) -> object:
    """A value of Arrow's as JSON has it: times and decimals as text, NaN as nothing."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [plain(one) for one in value if one is not None]
    return value


def _invalid(error: ValidationError) -> str:
    """The first problem, with its field and nothing of its value."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step)[:64] for step in problem["loc"] if step != "[key]")
    return f"{where or 'document'}: {problem['msg']}"[:_MOST_REASON]
