"""A thin client of the retriever's HTTP API: only the calls that are measured."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from client.api import Job
from evaluation.errors import ApiError
from evaluation.replies import ChatChunk, ChatReply, ModelList, SearchReply

Json = dict[str, Any]
Reply = TypeVar("Reply", bound=BaseModel)


class RetrieverClient:
    """Calls one retriever with one key; use it as an async context manager.

    `timeout` is in seconds and bounds each wait for bytes, not a whole reply. Every method raises
    ApiError when the server cannot be reached, refuses, or replies in another shape.
    """

    def __init__(
        self,
        url: str,
        key: str,
        timeout: float = 120.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
            trust_env=False,  # a proxy between would be measured too, and loopback needs none
        )
        self._texts: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def ready(self) -> Json:
        """What /readyz says; ApiError (with its words) where the retriever cannot serve at all."""
        async with self._call("GET", "/readyz") as response:
            parts: Json = json.loads(await response.aread())
            return parts

    async def models(self) -> list[str]:
        """Ids of the models that can be asked."""
        async with self._call("GET", "/v1/models") as response:
            return [model.id for model in (await _parsed(ModelList, response)).data]

    async def ingest(self, documents: list[Json]) -> Job:
        """Hand in documents; the job that indexes them is only queued."""
        async with self._call("POST", "/v1/documents", {"documents": documents}) as response:
            return await _parsed(Job, response)

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """Every state of a job as the server tells it, the last being final."""
        job: Job | None = None
        async with self._call("GET", f"/v1/jobs/{job_id}/events") as response:
            async for data in _events(response):
                job = _validated(Job, data, response)
                yield job
        if job is None or not job.final:
            raise ApiError(f"the events of job {job_id} ended before the job did")

    async def search(self, body: Json) -> SearchReply:
        """POST /v1/search."""
        async with self._call("POST", "/v1/search", body) as response:
            return await _parsed(SearchReply, response)

    async def chat(self, body: Json) -> ChatReply:
        """POST /v1/chat/completions without streaming."""
        async with self._call("POST", "/v1/chat/completions", body) as response:
            return await _parsed(ChatReply, response)

    async def chat_stream(self, body: Json) -> tuple[ChatReply, float | None]:
        """The same, streamed: the joined reply, and the seconds to its first words if any."""
        started, first, last = perf_counter(), None, None
        words: list[str] = []
        finish_reason: str | None = None
        async with self._call("POST", "/v1/chat/completions", body | {"stream": True}) as response:
            async for data in _events(response):
                if data == "[DONE]":
                    break
                chunk = _validated(ChatChunk, data, response)
                if chunk.error is not None:
                    raise ApiError(f"the stream broke off: {json.dumps(chunk.error)}")
                for choice in chunk.choices:
                    finish_reason = choice.finish_reason or finish_reason
                    if choice.delta.content:
                        first = perf_counter() - started if first is None else first
                        words.append(choice.delta.content)
                if chunk.grounding is not None:
                    last = data
            else:
                raise ApiError("the stream ended without [DONE]")
            if last is None:
                raise ApiError("the stream had no chunk with citations and grounding")
            message = {"message": {"content": "".join(words)}, "finish_reason": finish_reason}
            whole = json.loads(last) | {"choices": [message]}
            return _validated(ChatReply, json.dumps(whole), response), first

    async def text(self, document_id: str) -> str:
        """A document's extracted text, which citation offsets point into; asked for once."""
        if document_id not in self._texts:
            async with self._call("GET", f"/v1/documents/{document_id}/text") as response:
                # Decoded here: httpx2 would guess at an encoding where the header names none.
                self._texts[document_id] = (await response.aread()).decode("utf-8")
        return self._texts[document_id]

    @asynccontextmanager
    async def _call(
        self, method: str, path: str, body: Json | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """An open response of status below 400, with every failure of transport as ApiError."""
        try:
            async with self._http.stream(method, path, json=body) as response:
                if response.status_code >= 400:
                    raise ApiError(f"{method} {path}: {_refusal(response, await response.aread())}")
                yield response
        except httpx2.HTTPError as error:
            raise ApiError(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ApiError(f"{method} {path}: unreadable reply: {error}") from error


def _refusal(response: httpx2.Response, content: bytes) -> str:
    """Status and words of an error reply; the start of its body where it is not our error shape."""
    try:
        error = json.loads(content)["error"]
        said = f"{error['type']}: {error['message']} (request {error['request_id']})"
    except (ValueError, KeyError, TypeError):
        said = content[:200].decode("utf-8", "replace")
    return f"{response.status_code} {said}"


async def _parsed(model: type[Reply], response: httpx2.Response) -> Reply:
    return _validated(model, await response.aread(), response)


def _validated(model: type[Reply], data: str | bytes, response: httpx2.Response) -> Reply:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ApiError(
            f"{response.request.method} {response.request.url.path}: unexpected reply: "
            f"{where}: {problem['msg']}"
        ) from error


async def _events(response: httpx2.Response) -> AsyncIterator[str]:
    """The data of each server-sent event.

    Lines are split on LF only: httpx2's aiter_lines also splits on U+2028 and its like, which
    JSON may hold unescaped inside a string.
    """
    buffer, data = b"", []
    async for piece in response.aiter_bytes():
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data).decode("utf-8")
                data = []
