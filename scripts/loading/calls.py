"""One request of each kind, sent and read to its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from loading.outcome import Outcome
from loading.questions import Question

Json = dict[str, Any]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Target:
    """Where requests go, and what they say beside the question."""

    url: str
    timeout: float
    """Seconds that a whole request may take."""
    model: str | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    tools: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class BadReplyError(Exception):
    """A reply of status 200 that is not what was asked for."""


class StreamError(Exception):
    """A stream that broke off, or said that it failed."""


class Caller:
    """Sends requests over one pool of connections; use it as an async context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __aenter__(self) -> "Caller":
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            headers=self._target.headers,
            timeout=aiohttp.ClientTimeout(total=self._target.timeout),
            json_serialize=lambda body: orjson.dumps(body).decode(),
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.close()

    async def send(self, question: Question, outcome: Outcome, clock: Clock) -> None:
        """Send the request that `outcome` names, and write into it what happened."""
        outcome.sent = clock()
        try:
            await _CALLS[outcome.call](self, question, outcome, clock)
        except TimeoutError:
            outcome.error = "timeout"
        except StreamError as error:
            outcome.error, outcome.message = "stream", str(error)
        except aiohttp.ClientPayloadError as error:  # it ended before its announced end
            outcome.error, outcome.message = "stream", type(error).__name__
        except (BadReplyError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            outcome.error, outcome.message = "reply", f"{type(error).__name__}: {error}"
        except (aiohttp.ClientError, OSError) as error:
            outcome.error, outcome.message = "connection", type(error).__name__
        except asyncio.CancelledError:
            outcome.error = "cancelled"
            raise
        finally:
            outcome.end = clock()
            if outcome.error == "timeout":  # never less than what the client was ready to wait
                outcome.end = max(outcome.end, outcome.sent + self._target.timeout)

    async def get(self, path: str) -> Json:
        """A JSON object of the server's."""
        async with self._http.get(self._target.url + path) as reply:
            reply.raise_for_status()
            found: Json = orjson.loads(await reply.read())
            return found

    async def search(self, question: Question, outcome: Outcome, clock: Clock) -> None:
        """`POST /v1/search`, and whether something relevant was found."""
        body: Json = {"query": question.text}
        if self._target.top_k is not None:
            body["top_k"] = self._target.top_k
        reply = await self._whole("/v1/search", body, outcome, clock)
        if reply is not None:
            outcome.timings = reply.get("timings", {})
            _judge_sources(reply["results"], question, outcome)

    async def embeddings(self, question: Question, outcome: Outcome, clock: Clock) -> None:
        """`POST /v1/embeddings` of the question's text."""
        body: Json = {"input": question.text}
        if self._target.model is not None:
            body["model"] = self._target.model
        reply = await self._whole("/v1/embeddings", body, outcome, clock)
        if reply is not None:
            if not reply["data"][0]["embedding"]:
                raise BadReplyError("an empty vector")
            outcome.prompt_tokens = (reply.get("usage") or {}).get("prompt_tokens")

    async def ingest(self, question: Question, outcome: Outcome, clock: Clock) -> None:
        """`POST /v1/documents` with one small new document; only the hand-in is timed."""
        name = f"loadtest/{time.time_ns()}-{outcome.number}"
        # Of nothing that is asked: answers beside it are judged by the documents they come from.
        text = f"A small document that the load test hands in, {name}, and nobody looks for."
        document = {"text": text, "title": name, "source": name}
        await self._whole("/v1/documents", {"documents": [document]}, outcome, clock)

    async def chat(self, question: Question, outcome: Outcome, clock: Clock) -> None:
        """A streamed `POST /v1/chat/completions`, as any OpenAI client sends it."""
        target = self._target
        body: Json = {
            "messages": [{"role": "user", "content": question.text}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        rag: Json = {"tools": True} if target.tools else {}
        if target.top_k is not None:
            rag["top_k"] = target.top_k
        options = {"model": target.model, "max_tokens": target.max_tokens, "rag": rag or None}
        body |= {name: value for name, value in options.items() if value is not None}
        async with self._http.post(target.url + "/v1/chat/completions", json=body) as reply:
            outcome.status, outcome.headers = reply.status, clock()
            if reply.status >= 400:
                await _refused(reply, outcome)
                return
            async for data in _events(reply):
                if data == b"[DONE]":
                    return
                _read_chunk(orjson.loads(data), question, outcome, clock)
        raise StreamError("the stream ended without [DONE]")

    async def _whole(self, path: str, body: Json, outcome: Outcome, clock: Clock) -> Json | None:
        async with self._http.post(self._target.url + path, json=body) as reply:
            outcome.status, outcome.headers = reply.status, clock()
            if reply.status >= 400:
                await _refused(reply, outcome)
                return None
            found: Json = orjson.loads(await reply.read())
            return found


Call = Callable[[Caller, Question, Outcome, Clock], Any]
_CALLS: dict[str, Call] = {
    "search": Caller.search,
    "chat": Caller.chat,
    "embeddings": Caller.embeddings,
    "ingest": Caller.ingest,
}


def _read_chunk(chunk: Json, question: Question, outcome: Outcome, clock: Clock) -> None:
    if chunk.get("error"):
        raise StreamError(str(chunk["error"].get("message", "the server said that it failed")))
    for choice in chunk.get("choices") or []:
        if (choice.get("delta") or {}).get("content"):
            now = clock()
            outcome.first_token = now if outcome.first_token is None else outcome.first_token
            outcome.tokens_at.append(now)
    if usage := chunk.get("usage"):
        outcome.prompt_tokens = usage.get("prompt_tokens")
        outcome.completion_tokens = usage.get("completion_tokens")
    outcome.timings = chunk.get("timings") or outcome.timings
    if grounding := chunk.get("grounding"):
        outcome.abstained = bool(grounding["abstained"])
        outcome.unsupported = bool(grounding["unsupported"])
    if retrieval := chunk.get("retrieval"):
        _judge_sources(retrieval["results"], question, outcome)


def _judge_sources(results: list[Json], question: Question, outcome: Outcome) -> None:
    if question.relevant:
        outcome.hit = any(result["source"] in question.relevant for result in results)


async def _refused(reply: aiohttp.ClientResponse, outcome: Outcome) -> None:
    content = await reply.read()
    outcome.error = "429" if reply.status == 429 else f"http {reply.status}"
    try:
        outcome.message = str(orjson.loads(content)["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError):
        outcome.message = content[:200].decode("utf-8", "replace")


async def _events(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of each server-sent event; each has one line, as OpenAI's have."""
    buffer = b""
    async for piece in reply.content.iter_any():
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
