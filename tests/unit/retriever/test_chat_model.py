"""The chat model sends and hears what LangChain's own for OpenAI does, in fewer, larger steps."""

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from retriever.clients.chat_model import Chunk, Events, ServedChatModel, joined

CONVERSATION = [
    SystemMessage("Answer from the sources."),
    HumanMessage("Which port? 🦊 \x00"),
    AIMessage("", tool_calls=[{"name": "look", "args": {"where": "docs"}, "id": "1"}]),
    ToolMessage("8080", tool_call_id="1"),
    HumanMessage("And the other?"),
]


def _delta(index: int = 0, reason: str | None = None, **delta: object) -> Chunk:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def _call(**function: str) -> Chunk:
    return _delta(tool_calls=[{"index": 0, "id": "a", "function": function}])


CALL = _call(name="f", arguments="")
END = _delta(reason="stop")
USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def _bytes(chunks: Iterable[Chunk], end: str = "\n") -> bytes:
    said = [f"data: {json.dumps(chunk, ensure_ascii=False)}{end}{end}" for chunk in chunks]
    return "".join([*said, f"data: [DONE]{end}{end}"]).encode()


@tool
def look(where: str) -> str:
    """Look it up."""
    return where


class Wire:
    """A server's side: what it was sent, and the reads that it answers with."""

    def __init__(self, reads: Sequence[bytes]) -> None:
        self.reads = reads
        self.bodies: list[Any] = []

    async def ask(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        self.bodies.append(body)
        for read in self.reads:
            yield read

    def ours(self) -> BaseChatModel:
        return ServedChatModel(model_name="some", ask=self.ask)

    def theirs(self) -> BaseChatModel:
        async def handle(request: httpx2.Request) -> httpx2.Response:
            self.bodies.append(json.loads(await request.aread()))
            kind = {"content-type": "text/event-stream"}
            return httpx2.Response(200, content=b"".join(self.reads), headers=kind)

        return ChatOpenAI(
            model="some",
            base_url="http://model/v1",
            api_key=SecretStr("key"),
            http_async_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handle)),
            max_retries=0,
            stream_usage=True,
            temperature=0,
        )


async def _heard(model: Any, **options: Any) -> AIMessageChunk:
    """All chunks of an answer, added up."""
    whole = None
    async for chunk in model.astream(CONVERSATION, **options):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


@pytest.mark.parametrize("with_tools", [False, True])
async def test_the_request_is_the_one_that_langchains_own_sends(with_tools: bool) -> None:
    wire = Wire([_bytes([_delta(content="word"), END])])
    options = {"stop": ["\n"], "max_completion_tokens": 9, "seed": 1, "temperature": 0.5}
    for model in (wire.ours(), wire.theirs()):
        asked = model.bind_tools([look]) if with_tools else model
        assert (await _heard(asked, **options)).text == "word"
    ours, theirs = wire.bodies
    assert ours == theirs
    assert ("tools" in ours) is with_tools


ANSWERS = {
    "words": [_delta(role="assistant", content=""), _delta(content="Port"), _delta(content=" 80"),
              END, USAGE],
    "a call": [_delta(role="assistant", content="Let me"), _delta(content=" look."),
               _call(name="look", arguments=""), _call(arguments='{"where":'),
               _call(arguments=' "docs"}'), _delta(reason="tool_calls"), USAGE],
    "usage beside the end": [_delta(content="Port"), END | {"usage": USAGE["usage"]}],
}  # fmt: skip


@pytest.mark.parametrize("chunks", ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_answer_is_the_one_that_langchains_own_hears(chunks: list[Chunk]) -> None:
    wire = Wire([_bytes(chunks)])
    ours, theirs = await _heard(wire.ours()), await _heard(wire.theirs())
    assert ours.text == theirs.text
    assert ours.tool_calls == theirs.tool_calls
    assert (ours.usage_metadata or {}).items() <= (theirs.usage_metadata or {}).items()
    reason = "finish_reason"
    assert ours.response_metadata[reason] == theirs.response_metadata[reason]


async def test_it_answers_at_once_as_well() -> None:
    wire = Wire([_bytes(ANSWERS["words"])])
    assert (await wire.ours().ainvoke("Which port?")).text == "Port 80"


@pytest.mark.parametrize(
    "said", [b"data: nonsense\n\n", b'data: {"error": {"message": "no"}}\n\n', b"data: 7\n\n"]
)
async def test_what_is_no_answer_is_an_error(said: bytes) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        await _heard(Wire([said]).ours())


def _read(reads: Iterable[bytes]) -> list[Chunk]:
    """The chunks of a stream, those of a read joined."""
    events = Events()
    chunks = [chunk for read in reads for chunk in joined(events.feed(read))]
    assert events.done
    return chunks


def _told(chunks: Iterable[Chunk]) -> tuple[str, list[Any]]:
    """All words in a row, and whatever is more than words, each after how many of them."""
    words, others = "", []
    for chunk in chunks:
        if "'content'" in str(chunk):
            words += chunk["choices"][0]["delta"]["content"]
        else:
            others.append((len(words), chunk))
    return words, others


def test_the_words_of_one_read_are_one_chunk() -> None:
    words = [_delta(role="assistant", content=""), _delta(content="Port"), _delta(content=" 80")]
    assert _read([_bytes([*words, END, USAGE])]) == [
        _delta(role="assistant", content="Port 80"),
        END,
        USAGE,
    ]


def test_words_that_come_one_by_one_stay_so() -> None:
    words = [_delta(content="Port"), _delta(content=" 80")]
    reads = [_bytes([word]).removesuffix(b"data: [DONE]\n\n") for word in words]
    assert _read([*reads, _bytes([END])]) == [*words, END]


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
    assert _read([_bytes(chunks)]) == chunks


_CHUNKS = st.lists(
    st.one_of(
        st.text(max_size=5).map(lambda words: _delta(content=words)),
        st.sampled_from([CALL, END, USAGE, _delta(role="assistant", content=""), _delta()]),
    ),
    max_size=12,
)


@given(_CHUNKS, st.sampled_from(["\n", "\r\n"]), st.lists(st.integers(1, 400), max_size=8))
def test_however_the_bytes_are_cut_the_answer_is_the_same(
    chunks: list[Chunk], end: str, cuts: list[int]
) -> None:
    whole = b": a comment\n\n" + _bytes(chunks, end)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reads = [whole[start:stop] for start, stop in pairwise(places)]
    assert _told(_read(reads)) == _told(chunks)
