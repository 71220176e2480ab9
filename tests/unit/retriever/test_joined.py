"""Words that come in one read are one event; nothing is lost, changed or put in another order."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from retriever.clients.joined import JoinedEvents

Chunk = dict[str, Any]


def _delta(index: int = 0, reason: str | None = None, **delta: object) -> Chunk:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


CALL = _delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}])
END = _delta(reason="stop")
USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def _bytes(chunks: Iterable[Chunk], end: str = "\n") -> bytes:
    said = [f"data: {json.dumps(chunk, ensure_ascii=False)}{end}{end}" for chunk in chunks]
    return "".join([*said, f"data: [DONE]{end}{end}"]).encode()


def _decoded(decoder: SSEDecoder, reads: Iterable[bytes]) -> list[Any]:
    async def bytes_() -> AsyncIterator[bytes]:
        for read in reads:
            yield read

    async def decode() -> list[Any]:
        return [
            event.data if event.data.startswith("[DONE]") else event.json()
            async for event in decoder.aiter_bytes(bytes_())
        ]

    return asyncio.run(decode())


def _told(events: Iterable[Any]) -> tuple[str, list[Any]]:
    """All words in a row, and whatever is more than words, each after how many of them."""
    words, others = "", []
    for event in events:
        if "'content'" in str(event):
            words += event["choices"][0]["delta"]["content"]
        else:
            others.append((len(words), event))
    return words, others


def test_the_words_of_one_read_are_one_event() -> None:
    words = [_delta(role="assistant", content=""), _delta(content="Port"), _delta(content=" 80")]
    assert _decoded(JoinedEvents(), [_bytes([*words, END, USAGE])]) == [
        _delta(role="assistant", content="Port 80"),
        END,
        USAGE,
        "[DONE]",
    ]


def test_words_that_come_one_by_one_stay_so() -> None:
    words = [_delta(content="Port"), _delta(content=" 80")]
    reads = [_bytes([word]).removesuffix(b"data: [DONE]\n\n") for word in words]
    assert _decoded(JoinedEvents(), [*reads, _bytes([END])]) == [*words, END, "[DONE]"]


@pytest.mark.parametrize(
    "other",
    [
        CALL,
        END,
        USAGE,
        _delta(reasoning_content="hm"),
        {"error": {"message": "no"}},
        _delta() | {"usage": {"prompt_tokens": 1}},
        {"choices": _delta(content="a")["choices"] * 2},
        {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": []}}]},
    ],
)
def test_what_is_more_than_words_is_never_joined(other: Chunk) -> None:
    chunks = [_delta(content="a"), other, _delta(content="c")]
    assert _decoded(JoinedEvents(), [_bytes(chunks)]) == [*chunks, "[DONE]"]


_CHUNKS = st.lists(
    st.one_of(
        st.text(max_size=5).map(lambda words: _delta(content=words)),
        st.sampled_from([CALL, END, USAGE, _delta(role="assistant", content=""), _delta()]),
    ),
    max_size=12,
)


@given(_CHUNKS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(1, 400), max_size=8))
def test_however_the_bytes_are_cut_the_answer_is_the_same(
    chunks: list[Chunk], end: str, cuts: list[int]
) -> None:
    whole = _bytes(chunks, end)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reads = [whole[start:stop] for start, stop in pairwise(places)]
    plain = _decoded(SSEDecoder(), reads)
    assert plain == [*chunks, "[DONE]"]
    assert _told(_decoded(JoinedEvents(), reads)) == _told(plain)
