"""Documents as rows of `documents`: as they are written, and as they are read."""

import re
from typing import Any

from sqlalchemy import Row

from retriever.index.model import Addition, Document
from retriever.parsed import Warned
from retriever.state.schema import documents
from retriever.state.values import moment

_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: no JSON can be made of it."""
COLUMNS = [one for one in documents.c if one.name not in ("text", "tenant", "state", "writer")]
"""What a document is read from; its text is read alone."""


def to_row(addition: Addition, writer: str) -> dict[str, Any]:
    """The row of a document before any of its points is written."""
    document = addition.document
    return {
        "id": document.id,
        "tenant": addition.principal.tenant,
        "source": document.source,
        "state": "pending",
        "writer": writer,
        "title": document.title,
        "media_type": document.media_type,
        "groups": list(document.groups),
        "metadata": document.metadata,
        "pages": list(document.pages),
        "chunks": len(document.chunks),
        "characters": len(document.text),
        "text": document.text,
        "digest": document.digest,
        "parser": document.parser,
        "file_metadata": dict(document.file_metadata),
        "warnings": list(document.warnings),
    }


def to_document(row: Row[Any]) -> Document:
    """The document of a row of `COLUMNS`."""
    return Document(
        id=row.id,
        source=row.source,
        title=row.title,
        media_type=row.media_type,
        groups=tuple(row.groups),
        metadata=_metadata(row.metadata),
        pages=len(row.pages) or None,
        chunks=row.chunks,
        characters=row.characters,
        created_at=moment(row.created_at),
        sha256=row.digest or None,
        parser=row.parser,
        file_metadata=row.file_metadata,
        warnings=warned(row.warnings),
    )


def warned(kept: list[Any]) -> tuple[Warned, ...]:
    """Warnings as they are kept, in JSON."""
    return tuple(Warned(code, message, tuple(pages)) for code, message, pages in kept)


def _metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Metadata that can be sent: what came in before it was checked may not be."""
    return {
        key: _HALF.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
        for key, value in values.items()
    }
