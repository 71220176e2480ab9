"""`/v1/documents`: hand documents in, list them, read their text, delete them."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import (
    ValidationError,
)
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
from retriever.api.document_schemas import BODIES, Document, DocumentPage
from retriever.api.jobs import Job, shown
from retriever.api.names import filename, named, refuse_tools
from retriever.api.text_schemas import (
    MOST_DOCUMENTS,
    MOST_GROUPS,
    MOST_VALUES,
    Sharing,
    TextDocument,
    TextDocuments,
)
from retriever.api.upload import form_of
from retriever.index.filters import read
from retriever.index.model import Deletion
from retriever.ingest.items import NewItem
from retriever.stack import Stack

router = APIRouter(tags=["documents"])


@router.post(
    "/v1/documents",
    status_code=202,
    name="document.add",
    summary="Hand documents in",
    openapi_extra=BODIES,
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
        with suppress(Unavailable):  # left, and swept later
            await asyncio.shield(stack.uploads.remove(item.upload for item in items))
        raise
    if not new:
        await stack.uploads.remove(item.upload for item in items)
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
    """The documents that the caller may see, oldest first, a page at a time."""
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
    return TextDocuments.model_validate(parsed(body, MOST_VALUES)).documents


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
        refuse_tools(document.source or document.title or "", "documents")
    kept = await stack.uploads.write_texts([document.text for document in documents])
    for document, (name, digest) in zip(documents, kept, strict=True):
        items.append(document.item(name, digest, document.source))


async def _take_files(
    request: Request, principal: Principal, stack: Stack, items: list[NewItem]
) -> None:
    try:
        fields = MOST_GROUPS + 1
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
    refuse_tools(source, "files")
    name, digest = await stack.uploads.write_upload(file)
    return NewItem(
        source=source,
        title=None,
        media_type=file.content_type,
        groups=tuple(sorted(set(sharing.groups))),
        metadata=sharing.metadata,
        upload=name,
        digest=digest,
    )


def _refuse_conflicts(items: list[NewItem]) -> None:
    """Raises `Conflict` where different documents have one source: one would replace the other."""
    first: dict[str, NewItem] = {}
    for item in items:
        if replace(first.setdefault(item.source, item), upload=item.upload) != item:
            raise Conflict(
                f"two different documents of this request are called {item.source!r}, and the later"
                " would replace the earlier: give each a name of its own, such as with its folder"
            )


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
        raise Forbidden(f"you are not in the group {min(foreign)!r}")
