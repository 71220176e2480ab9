"""The model's stream, read by read: the words that came together go on together."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
from openai._streaming import ServerSentEvent, SSEDecoder


class JoinedEvents(SSEDecoder):
    """OpenAI's decoder, which joins the words of one read from the network into one event.

    A model server sends an event for each token. While the retriever keeps up, a read holds one
    and nothing changes. When hundreds of streams come faster than it can hand tokens on, a read
    holds several, and then the work is done once for all of them: the answers stay level with the
    model, in larger steps, instead of falling behind.
    """

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        """The events of the bytes, as the parent's, with words joined."""
        held = b""
        async for read in iterator:
            held += read
            end = max(held.rfind(b"\n\n") + 2, held.rfind(b"\r\n\r\n") + 4, held.rfind(b"\r\r") + 2)
            if end < 4:  # no event is whole yet: an empty line at the very beginning ends none
                continue
            whole, held = held[:end], held[end:]
            for event in _joined(self.iter_bytes(iter([whole]))):
                yield event
        for event in self.iter_bytes(iter([held])):
            yield event


class _Read(ServerSentEvent):
    """An event that has been read already."""

    def __init__(self, chunk: Any) -> None:
        super().__init__()
        self._chunk = chunk

    def json(self) -> Any:
        """What it held."""
        return self._chunk


def _joined(events: Iterator[ServerSentEvent]) -> Iterator[ServerSentEvent]:
    """The events; those that only add words to the one before are joined to it."""
    last: dict[str, Any] | None = None
    for event in events:
        if event.event or event.data.startswith("[DONE]"):
            if last is not None:
                yield _Read(last)
                last = None
            yield event
            continue
        chunk = orjson.loads(event.data)
        if last is not None:
            more = _words(chunk)
            if more is not None and _words(last) is not None:
                last["choices"][0]["delta"]["content"] += more
                continue
            yield _Read(last)
        last = chunk
    if last is not None:
        yield _Read(last)


def _words(chunk: Any) -> str | None:
    """The words of a chunk that says nothing else, its role aside."""
    if not isinstance(chunk, dict) or chunk.get("usage") or chunk.get("error"):
        return None
    choices = chunk.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    (choice,) = choices
    delta = choice.get("delta") or {}
    said = {key for key, value in delta.items() if value is not None}
    if choice.get("finish_reason") or choice.get("logprobs") or not said <= {"role", "content"}:
        return None
    words = delta.get("content")
    return words if isinstance(words, str) else None
