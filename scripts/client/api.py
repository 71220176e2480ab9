"""A client of the retriever's HTTP API, for the scripts that a person runs."""

import json
import mimetypes
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

Reply = TypeVar("Reply", bound=BaseModel)

LONGEST_ANSWER = 96  # tokens: what a small model says after three sentences is not worth reading
RECONNECTS = 5
_RECONNECT_SECONDS = 0.5


class RetrieverError(Exception):
    """The retriever refused a call, or replied in another shape; one line for a person."""


class NotReachable(RetrieverError):
    """Nothing answers at the retriever's address, or it stopped in the middle."""


class Missing(RetrieverError):
    """What was asked for is not there."""


class Busy(RetrieverError):
    """The retriever, or a part of it, cannot take the call now; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Counts(BaseModel):
    """Documents by what became of them, and the chunks written so far."""

    total: int
    added: int
    replaced: int
    unchanged: int
    failed: int
    cancelled: int = 0
    chunks: int

    @property
    def done(self) -> int:
        """Documents that are through, well or badly."""
        return self.added + self.replaced + self.unchanged + self.failed + self.cancelled


class DocumentError(BaseModel):
    """A document that did not go in, and why."""

    source: str
    message: str


class Job(BaseModel):
    """An ingestion."""

    id: str
    state: Literal["queued", "running", "succeeded", "partial", "failed", "cancelled"]
    counts: Counts
    errors: list[DocumentError]

    @property
    def final(self) -> bool:
        """Whether the state can no longer change."""
        return self.state not in ("queued", "running")


class ErrorPage(BaseModel):
    """A page of what went wrong in a job."""

    data: list[DocumentError]
    next_cursor: int | None


class Document(BaseModel):
    """A document that is indexed."""

    id: str
    source: str
    metadata: dict[str, Any]


class DocumentPage(BaseModel):
    """A page of documents."""

    data: list[Document]
    next_cursor: str | None


class Citation(BaseModel):
    """A quote of a document: `text[start:end] == quote`, in code points of its text."""

    marker: str
    document_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    quote: str


class Grounding(BaseModel):
    """What the check of an answer against its sources found."""

    supported: bool
    unsupported: list[str]
    abstained: bool


class Retrieval(BaseModel):
    """What had to be done without in the search."""

    degraded: list[str]


class Ending(BaseModel):
    """What comes after the last word of an answer."""

    citations: list[Citation]
    grounding: Grounding
    retrieval: Retrieval


class Delta(BaseModel):
    """A piece of an answer's words."""

    content: str | None = None


class Choice(BaseModel):
    """OpenAI's choice in a stream; there is always one."""

    delta: Delta


class Chunk(BaseModel):
    """One event of a streamed answer."""

    choices: list[Choice]


class Retriever:
    """Calls one retriever with one key; use it as a context manager.

    `timeout` is in seconds and bounds each wait for bytes, not a whole reply. Every method raises
    `NotReachable` where nothing answers and `RetrieverError` where the answer is no.
    """

    def __init__(self, url: str, key: str, timeout: float = 120.0) -> None:
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(timeout, connect=5.0),
            trust_env=False,  # loopback needs no proxy
        )
        self._texts: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def upload(
        self, files: Sequence[tuple[str, Path]], metadata: dict[str, str] | None = None
    ) -> Job:
        """Hand in files, each as (the name to keep it under, where it is); their job.

        `metadata` is noted with each of them.

        Raises OSError where a file cannot be read.
        """
        with ExitStack() as opened:
            fields = []
            for name, path in files:
                kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
                fields.append(("files", (name, opened.enter_context(path.open("rb")), kind)))
            data = {"metadata": json.dumps(metadata)} if metadata else {}
            with self._call("POST", "/v1/documents", files=fields, data=data) as response:
                return _parsed(Job, response.read())

    def errors(self, job: Job) -> Iterator[DocumentError]:
        """Every document of a job that failed; the job itself shows the first of many."""
        if len(job.errors) == job.counts.failed:
            yield from job.errors
            return
        cursor: int | None = 0
        while cursor is not None:
            path, query = f"/v1/jobs/{job.id}/errors", {"cursor": cursor, "limit": 1000}
            with self._call("GET", path, params=query) as response:
                page = _parsed(ErrorPage, response.read())
            yield from page.data
            cursor = page.next_cursor

    def documents(self) -> list[Document]:
        """Every document that the key may see."""
        found: list[Document] = []
        query: dict[str, Any] = {"limit": 1000}
        while True:
            with self._call("GET", "/v1/documents", params=query) as response:
                page = _parsed(DocumentPage, response.read())
            found += page.data
            if page.next_cursor is None:
                return found
            query["cursor"] = page.next_cursor

    def delete(self, document_id: str) -> None:
        """Delete a document; one that is gone already is no error."""
        try:
            with self._call("DELETE", f"/v1/documents/{document_id}"):
                pass
        except Missing:
            return

    def follow(self, job: Job) -> Iterator[Job]:
        """The job's states as the server tells them, the last final; a lost stream is taken up."""
        last_id, drops = "0", 0
        while drops <= RECONNECTS:
            path, headers = f"/v1/jobs/{job.id}/events", {"Last-Event-ID": last_id}
            try:
                with self._call("GET", path, headers=headers) as response:
                    for event_id, data in _events(response):
                        job, last_id, drops = _parsed(Job, data), event_id or last_id, 0
                        yield job
                        if job.final:
                            return
            except NotReachable:
                pass  # as when the stream just ends: it is taken up again, a few times
            drops += 1
            time.sleep(_RECONNECT_SECONDS)
        raise NotReachable(f"the events of {job.id} broke off {drops} times in a row")

    def ask(self, question: str) -> Iterator[str | Ending]:
        """The answer's words as they come, then its `Ending`."""
        body = {
            "stream": True,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": LONGEST_ANSWER,
        }
        ending: Ending | None = None
        with self._call("POST", "/v1/chat/completions", json=body) as response:
            for _, data in _events(response):
                if data == b"[DONE]":
                    break
                told = _json(data)
                if "error" in told:
                    raise RetrieverError(f"the answer broke off: {_words(told['error'])}")
                if "grounding" in told:
                    ending = _parsed(Ending, data)
                for choice in _parsed(Chunk, data).choices:
                    if choice.delta.content:
                        yield choice.delta.content
        if ending is None:
            raise RetrieverError("the answer broke off before its citations")
        yield ending

    def verify(self, citation: Citation) -> bool:
        """Whether the document's text has the quote where the citation says."""
        if citation.document_id not in self._texts:
            with self._call("GET", f"/v1/documents/{citation.document_id}/text") as response:
                self._texts[citation.document_id] = response.read().decode("utf-8")
        text = self._texts[citation.document_id]
        return citation.quote != "" and text[citation.start : citation.end] == citation.quote

    def call(self, kind: type[Reply], method: str, path: str, **request: Any) -> Reply:
        """One call of the API: its reply as a `kind`."""
        with self._call(method, path, **request) as response:
            return _parsed(kind, response.read() or b"{}")

    @contextmanager
    def _call(self, method: str, path: str, **request: Any) -> Iterator[httpx2.Response]:
        """A response that is a yes, still unread; what goes wrong in between in our words."""
        try:
            with self._http.stream(method, path, **request) as response:
                if not response.is_success:
                    raise _refused(response)
                yield response
        except httpx2.TimeoutException as error:
            raise NotReachable(f"no answer from {self._http.base_url} in time") from error
        except httpx2.TransportError as error:
            raise NotReachable(f"no answer from {self._http.base_url}: {error}") from error


def _events(response: httpx2.Response) -> Iterator[tuple[str, bytes]]:
    """The id and the data of each server-sent event.

    Split at LF only: httpx2's iter_lines also splits at U+2028, which JSON may hold unescaped.
    """
    buffer, event_id, data = b"", "", list[bytes]()
    for piece in response.iter_bytes():
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in (line.removesuffix(b"\r") for line in lines):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"id":
                event_id = value.removeprefix(b" ").decode("ascii", "replace")
            elif not line and data:
                yield event_id, b"\n".join(data)
                data = []


def _refused(response: httpx2.Response) -> RetrieverError:
    words = _refusal(response)
    if response.status_code in (429, 503):
        asked = response.headers.get("retry-after", "")
        return Busy(words, float(asked) if asked.isdecimal() else 0.0)
    return Missing(words) if response.status_code == 404 else RetrieverError(words)


def _refusal(response: httpx2.Response) -> str:
    body = response.read()
    try:
        return f"{response.status_code}: {_words(json.loads(body)['error'])}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {body[:200].decode('utf-8', 'replace')}"


def _words(error: dict[str, Any]) -> str:
    return f"{error['message']} (request {error.get('request_id', '-')})"


def _json(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except ValueError as error:
        raise RetrieverError(f"unreadable reply: {error}") from error
    if not isinstance(told, dict):
        raise RetrieverError("unreadable reply: not an object")
    return told


def _parsed(model: type[Reply], data: bytes) -> Reply:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in problem["loc"])
        raise RetrieverError(f"unexpected reply: {where}: {problem['msg']}") from error
