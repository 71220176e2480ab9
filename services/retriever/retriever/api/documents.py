"""`/v1/documents`: hand documents in, list them, read their text, delete them."""

import asyncio
import json
import unicodedata
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import PlainTextResponse

from bulkhead.auth import Principal, Role
from bulkhead.errors import (
    Conflict,
    Forbidden,
    InvalidValue,
    MalformedRequest,
    NotFound,
    Unavailable,
    UnsupportedMediaType,
)
from retriever.api.body import parsed, refuse_charset
from retriever.api.deps import EventDep, Reader, StackDep, Writer
from retriever.api.jobs import Job, Warned, shown
from retriever.api.names import filename, named
from retriever.api.upload import form_of
from retriever.index.filters import fits, read, whole
from retriever.index.model import Deletion
from retriever.ingest.jobs import NewItem
from retriever.ingest.prepare import EXTRACTED
from retriever.stack import Stack

router = APIRouter(tags=["documents"])

MOST_DOCUMENTS = 1000
"""Documents that one request may bring."""
_MOST_GROUPS = 64
_MOST_VALUES = 200_000
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
        [], max_length=_MOST_GROUPS, description="Who may see it; none: the whole tenant."
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


class TextDocuments(BaseModel):
    """Documents as text."""

    model_config = ConfigDict(extra="forbid")

    documents: list[TextDocument] = Field(min_length=1, max_length=MOST_DOCUMENTS)


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
_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FILES_SCHEMA},
            "application/json": {"schema": _text_documents_schema()},
        },
    }
}


@router.post(
    "/v1/documents",
    status_code=202,
    name="document.add",
    summary="Hand documents in",
    openapi_extra=_BODIES,
)
async def add_documents(
    request: Request,
    response: Response,
    principal: Writer,
    stack: StackDep,
    event: EventDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="The same key with the same documents brings the first job back.",
        ),
    ] = None,
) -> Job:
    """Accept documents, as files or as JSON; the job that takes them in is in the reply."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    items: list[NewItem] = []
    refuse_charset(request)
    try:
        if kind == "multipart/form-data":
            await _take_files(request, principal, stack, items)
        elif kind == "application/json":
            await _take_texts(await request.body(), principal, stack, items)
        else:
            raise UnsupportedMediaType("send multipart/form-data or application/json")
        _refuse_conflicts(items)
        await stack.limits.documents(principal, len(items))
        job, new = await stack.jobs.create(principal, items, idempotency_key)
    except BaseException:
        stack.spool.remove(item.spool for item in items)
        raise
    if new:
        await stack.job_accepted(job.id)
    else:
        stack.spool.remove(item.spool for item in items)
    event.target = job.id
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await shown(job, principal, stack)


@router.get("/v1/documents", name="document.list", summary="List the documents")
async def list_documents(
    principal: Reader,
    stack: StackDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    filters: Annotated[
        str | None,
        Query(
            max_length=8000,
            description="A JSON object: the filters of a search. A page may then hold fewer than "
            "`limit`, and none, though there is a `next_cursor`.",
            examples=['{"team": "ops", "published": {"gte": "2024-01-01"}}'],
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        Query(
            max_length=MOST_DOCUMENTS,
            description="Only documents with this source; may be given more than once. What is "
            "found would be replaced by an upload of that name.",
        ),
    ] = None,
) -> DocumentPage:
    """The documents that the key may see, oldest first, a page at a time."""
    wanted = read(_object(filters), stack.settings.metadata_indexes)
    sources = [named(one) for one in source or ()]
    documents, following = await stack.index.page(principal, limit, cursor, wanted, sources)
    return DocumentPage(
        data=[Document.model_validate(one, from_attributes=True) for one in documents],
        next_cursor=following,
    )


@router.get("/v1/documents/{document_id}", name="document.read", summary="See a document")
async def get_document(document_id: str, principal: Reader, stack: StackDep) -> Document:
    """What is known of a document."""
    found = await stack.index.get(principal, document_id)
    if found is None:
        raise NotFound("there is no such document")
    return Document.model_validate(found, from_attributes=True)


@router.get(
    "/v1/documents/{document_id}/text",
    name="document.text",
    summary="Read a document's text",
    # Not as a response class: OpenAPI would then show the errors as plain text too.
    response_model=None,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_text(document_id: str, principal: Reader, stack: StackDep) -> PlainTextResponse:
    """The extracted text, into which `start` and `end` of chunks and citations point."""
    text = await stack.index.text(principal, document_id)
    if text is None:
        raise NotFound("there is no such document")
    return PlainTextResponse(text, headers={"X-Content-Type-Options": "nosniff"})


@router.delete(
    "/v1/documents/{document_id}",
    status_code=204,
    name="document.delete",
    summary="Delete a document",
    responses={202: {"description": "It is gone; what the index holds of it goes later"}},
)
async def delete_document(document_id: str, principal: Writer, stack: StackDep) -> Response:
    """Remove a document, its text and every chunk of it.

    It is gone from every answer at once. 202 says that the index takes no writes now, as on a full
    disk: it still holds the document's chunks, and they are removed as soon as it does.
    """
    deletion = await stack.index.delete(principal, document_id)
    if deletion is None:
        raise NotFound("there is no such document")
    return Response(status_code=204 if deletion is Deletion.DONE else 202)


def _texts(body: bytes) -> list[TextDocument]:
    return TextDocuments.model_validate(parsed(body, _MOST_VALUES)).documents


async def _take_texts(
    body: bytes, principal: Principal, stack: Stack, items: list[NewItem]
) -> None:
    try:
        documents = await asyncio.to_thread(_texts, body)
    except json.JSONDecodeError as error:
        raise MalformedRequest("the request body is not valid JSON") from error
    except ValidationError as error:
        raise _unusable(error) from error
    for document in documents:
        _may_share(principal, document)
        _is_no_tools(document.source or document.title or "", "documents")
    kept = await stack.spool.write_texts([document.text for document in documents])
    for document, (name, digest) in zip(documents, kept, strict=True):
        items.append(
            NewItem(
                source=named(document.source or document.title or f"text:{digest[:16]}"),
                title=document.title,
                media_type=EXTRACTED,
                groups=tuple(sorted(set(document.groups))),
                metadata=document.metadata,
                spool=name,
                digest=digest,
            )
        )


async def _take_files(
    request: Request, principal: Principal, stack: Stack, items: list[NewItem]
) -> None:
    try:
        fields = _MOST_GROUPS + 1
        async with form_of(request, max_files=MOST_DOCUMENTS, max_fields=fields) as form:
            files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
            if not files:
                raise InvalidValue("files: send at least one file in a field of this name")
            if len(files) < len(form.getlist("files")):
                raise InvalidValue("files: each part needs a `filename`; `filename*` alone is none")
            sharing = _sharing(form)
            _may_share(principal, sharing)
            for file in files:
                items.append(await _spooled(file, sharing, stack))
    except OSError as error:  # large files are set down on the disk as they come in
        raise Unavailable("storage", f"the upload cannot be kept: {error.strerror}") from error


async def _spooled(file: UploadFile, sharing: Sharing, stack: Stack) -> NewItem:
    source = filename(file)
    if not source or len(source) > 1000 or "\x00" in source:
        raise InvalidValue("files: each needs a name of 1 to 1,000 characters, without NUL")
    _is_no_tools(source, "files")
    name, digest = await stack.spool.write_upload(file)
    return NewItem(
        source=source,
        title=None,
        media_type=file.content_type,
        groups=tuple(sorted(set(sharing.groups))),
        metadata=sharing.metadata,
        spool=name,
        digest=digest,
    )


def _refuse_conflicts(items: list[NewItem]) -> None:
    """Raises `Conflict` where different documents have one source: one would replace the other."""
    first: dict[str, NewItem] = {}
    for item in items:
        if replace(first.setdefault(item.source, item), spool=item.spool) != item:
            raise Conflict(
                f"two different documents of this request are called {item.source!r}, and the later"
                " would replace the earlier: give each a name of its own, such as with its folder"
            )


def _is_no_tools(source: str, field: str) -> None:
    """Raises `InvalidValue` for what reads `tool:…`: so citations name what a tool brought."""
    shown = unicodedata.normalize("NFKC", source)
    seen = "".join(c for c in shown if not c.isspace() and unicodedata.category(c)[0] != "C")
    if seen.casefold().startswith("tool:"):
        raise InvalidValue(f"{field}: no source begins with 'tool:', which names a tool's result")


def _sharing(form: FormData) -> Sharing:
    try:
        told = form.get("metadata") or "{}"
        if not isinstance(told, str):
            raise InvalidValue("metadata: a plain field with a JSON object, not a file")
        metadata = parsed(told)
        return Sharing(groups=[str(group) for group in form.getlist("groups")], metadata=metadata)
    except json.JSONDecodeError as error:
        raise InvalidValue("metadata: it is not valid JSON") from error
    except ValidationError as error:
        raise _unusable(error) from error


def _object(filters: str | None) -> dict[str, Any]:
    try:
        value = parsed(filters or "{}")
    except json.JSONDecodeError as error:
        raise InvalidValue("filters: it is not valid JSON") from error
    if not isinstance(value, dict):
        raise InvalidValue("filters: a JSON object of field to condition")
    return value


def _unusable(error: ValidationError) -> InvalidValue:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step)[:64] for step in problem["loc"])
    return InvalidValue(f"{where or 'body'}: {problem['msg']}")


def _may_share(principal: Principal, sharing: Sharing) -> None:
    foreign = set(sharing.groups) - principal.groups
    if foreign and principal.role is not Role.ADMIN:
        raise Forbidden(f"the key is not in the group {min(foreign)!r}")
