"""The client of the retriever's API where a reply is odd, over a transport of given bytes."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from evaluation.client import RetrieverClient
from evaluation.errors import ApiError

LAST = {
    "choices": [],
    "citations": [],
    "grounding": {"supported": True, "unsupported": [], "abstained": False},
    "retrieval": {"degraded": [], "results": []},
}


class Pieces(httpx2.AsyncByteStream):
    """A body in pieces of one byte, the worst way to be cut."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(len(self.body)):
            yield self.body[at : at + 1]


def client_of(body: bytes) -> RetrieverClient:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Pieces(body)))
    return RetrieverClient("http://retriever", "key", transport=transport)


def sse(*events: object, end: str = "\n\n") -> bytes:
    texts = (e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in events)
    return "".join(f"data: {text}{end}" for text in texts).encode()


def words(text: str) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text}}]}


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
async def test_a_stream_is_joined_whatever_separators_its_words_hold(end: str) -> None:
    body = sse(words("one\u2028"), words("two \u00e9"), LAST, "[DONE]", end=end)

    async with client_of(b": a comment\n\n" + body) as client:
        reply, first = await client.chat_stream({})

    assert reply.choices[0].message.content == "one\u2028two \u00e9"
    assert first is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (sse(words("one"), LAST), r"ended without \[DONE\]"),
        (sse(words("one"), "[DONE]"), "no chunk with citations"),
        (sse(words("one"), {"error": {"message": "llm died"}}), "llm died"),
        (sse("{"), "unexpected reply"),
        (b"data: \xff\n\n", "unreadable reply"),
    ],
)
async def test_a_stream_that_breaks_off_is_an_error(body: bytes, message: str) -> None:
    async with client_of(body) as client:
        with pytest.raises(ApiError, match=message):
            await client.chat_stream({})


async def test_a_reply_of_another_shape_names_the_call_and_the_field() -> None:
    async with client_of(b'{"results": [{"source": 1}]}') as client:
        with pytest.raises(ApiError, match=r"POST /v1/search: unexpected reply: results\.0\."):
            await client.search({})


async def test_the_events_of_a_job_must_reach_its_end() -> None:
    kinds = ("total", "added", "replaced", "unchanged", "failed", "chunks")
    counts = dict.fromkeys(kinds, 0)
    job = {"id": "j", "state": "running", "counts": counts, "errors": []}

    async with client_of(sse(job)) as client:
        with pytest.raises(ApiError, match="ended before the job did"):
            _ = [state async for state in client.follow("j")]


async def test_a_text_is_asked_for_once_and_keeps_its_line_ends() -> None:
    asked: list[str] = []

    def text(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(200, content="a\r\n\U0001f534".encode())

    transport = httpx2.MockTransport(text)
    async with RetrieverClient("http://retriever", "key", transport=transport) as client:
        assert await client.text("d") == await client.text("d") == "a\r\n\U0001f534"

    assert asked == ["/v1/documents/d/text"]
