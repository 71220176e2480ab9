"""What `/v1/documents` takes and gives: texts and files with their metadata, documents."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from retriever.api.jobs import Warned
from retriever.api.text_schemas import TextDocuments


class Document(BaseModel):
    """A document that is indexed."""

    id: str
    object: Literal["document"] = "document"
    source: str
    title: str
    media_type: str
    pages: int | None = Field(description="Pages, for kinds that have them.")
    chunks: int
    characters: int = Field(description="Length of the extracted text, in code points.")
    groups: list[str]
    metadata: dict[str, Any]
    file_metadata: dict[str, Any] = Field(
        description="What the file says of itself, such as its author or a text's front matter, "
        "and which pages were read by OCR; searches can filter by `file_metadata.NAME`."
    )
    warnings: list[Warned] = Field(description="What was lost or guessed in reading it.")
    sha256: str | None = Field(
        description="Of the bytes that were handed in; null when an older release took it in."
    )
    parser: str | None = Field(
        description="Version of the parser that read it; null for a text, and when an older "
        "release took it in."
    )
    created_at: str


class DocumentPage(BaseModel):
    """A page of documents, oldest first."""

    object: Literal["list"] = "list"
    data: list[Document]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


def _text_documents_schema() -> dict[str, Any]:
    """The JSON body's schema in one piece: OpenAPI resolves no `$defs` inside a request body."""
    schema = TextDocuments.model_json_schema()
    schema["properties"]["documents"]["items"] = schema.pop("$defs")["TextDocument"]
    return schema


_FILES_SCHEMA = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "PDF, Office, HTML, Markdown, text, CSV, mail, notebooks, books or "
            "pictures. A file's name is its document's `source`.",
        },
        "groups": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "string", "description": "A JSON object."},
    },
}
BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FILES_SCHEMA},
            "application/json": {"schema": _text_documents_schema()},
        },
    }
}
