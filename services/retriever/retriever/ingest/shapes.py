"""What waited becomes what is indexed: its id, its chunks and the texts that are searched."""

from retriever.index.model import Change, ChunkSpan, NewDocument, document_id
from retriever.ingest.items import End, Item
from retriever.ingest.prepare import Prepared
from retriever.parsed import page_at

_CONTEXT_CHARACTERS = 150


def searchable_texts(document: NewDocument) -> list[str]:
    """What is embedded and indexed of each chunk."""
    return [
        searchable(
            document.title,
            chunk.heading,
            chunk.table_header,
            document.text[chunk.start : chunk.end],
        )
        for chunk in document.chunks
    ]


def searchable(title: str, heading: str, table_header: str, text: str) -> str:
    """A chunk's text, with title, headings and a table's header before it.

    They are cut short, as a model that reads 256 tokens would drop the chunk's end for them.
    """
    around = (
        title[:_CONTEXT_CHARACTERS],
        heading[-_CONTEXT_CHARACTERS:] if heading != title else "",
        table_header,
        text,
    )
    return "\n".join(part for part in around if part)


def end(document: NewDocument, change: Change) -> End:
    """What it came to, when it is published."""
    return End(
        change.outcome,
        document.id,
        len(document.chunks),
        warnings=document.warnings,
        replaced=change.replaced,
    )


def identity(item: Item, parser: str | None) -> str:
    """The id that it gets where this version of the parser reads it."""
    new = item.new
    return document_id(
        item.principal.tenant,
        new.source,
        new.title,
        new.media_type,
        new.groups,
        new.metadata,
        new.digest,
        parser,
    )


def document_of(item: Item, prepared: Prepared) -> NewDocument:
    """What is indexed of it."""
    parsed = prepared.parsed
    return NewDocument(
        id=identity(item, parsed.parser),
        source=item.new.source,
        title=item.new.title or parsed.title,
        media_type=parsed.media_type,
        groups=item.new.groups,
        metadata=item.new.metadata,
        text=parsed.text,
        pages=parsed.pages,
        digest=item.new.digest,
        parser=parsed.parser,
        file_metadata=parsed.file_metadata,
        warnings=parsed.warnings,
        chunks=[
            ChunkSpan(
                chunk.start,
                chunk.end,
                page_at(parsed.pages, chunk.start),
                chunk.heading,
                tuple(start for start in parsed.pages if chunk.start < start < chunk.end),
                chunk.table_header,
            )
            for chunk in prepared.chunks
        ],
    )
