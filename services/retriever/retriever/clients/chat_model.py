"""LangChain's chat model for a server that speaks OpenAI's protocol. It streams, and nothing else.

`ChatOpenAI` makes each token into an object, that into a dictionary and that into a message, one
event after the other. Here the words of one read from the network are one message, for hundreds of
answers at once (docs/performance.md, "Streams").
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    UsageMetadata,
    convert_to_openai_messages,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

Chunk = dict[str, Any]
"""A `chat.completion.chunk`, as it was read."""
Ask = Callable[[dict[str, Any]], AsyncGenerator[bytes, None]]
"""Posts a request's body; the reads of its reply. It raises what is told to those who ask."""


class ServedChatModel(BaseChatModel):
    """The model called `model_name` of the server that `ask` asks."""

    model_name: str
    ask: Ask

    @property
    def _llm_type(self) -> str:
        return "openai-compatible"

    def bind_tools(
        self, tools: Sequence[Any], **parameters: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with `tools` to call: functions, schemas, or what OpenAI's API takes."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **parameters)

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError("this model is asked by the event loop: call ainvoke or astream")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **parameters: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **parameters))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **parameters: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        more = parameters.pop("extra_body", {})  # what OpenAI's API does not know
        body = {
            "model": self.model_name,
            "messages": [_told(message) for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            **parameters,
            **more,
        }
        if stop is not None:
            body["stop"] = stop
        events = Events()
        async with aclosing(self.ask(body)) as reads:
            async for read in reads:
                for chunk in joined(events.feed(read)):
                    message = _message(chunk)
                    generation = ChatGenerationChunk(message=message)
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(message.text, chunk=generation)
                    yield generation
                if events.done:
                    return


class Events:
    """Server-sent events out of bytes, however they are cut."""

    def __init__(self) -> None:
        self._held = b""
        self.done = False
        """The stream has said that it is over."""

    def feed(self, read: bytes) -> Iterator[Chunk]:
        """The chunks that are whole now. Raises `ValueError` for what is no JSON."""
        *lines, self._held = (self._held + read).split(b"\n")
        for line in lines:
            name, _, data = line.partition(b":")
            if name != b"data" or not (data := data.strip()):
                continue  # a comment, an id, the empty line after an event
            if data == b"[DONE]":
                self.done = True
                return
            yield orjson.loads(data)


def joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks; those that only add words to the one before go along with it.

    While the retriever keeps up, a read holds one chunk and nothing changes. When hundreds of
    streams come faster than it can hand tokens on, the work is done once for all words of a read,
    and the answers stay level with the model, in larger steps.
    """
    last: Chunk | None = None
    for chunk in chunks:
        if last is not None:
            more = _words(chunk)
            if more is not None and _words(last) is not None:
                last["choices"][0]["delta"]["content"] += more
                continue
            yield last
        last = chunk
    if last is not None:
        yield last


def _told(message: BaseMessage) -> dict[str, Any]:
    """A message as OpenAI takes it: a turn that is calls alone has no words, not empty ones."""
    told = convert_to_openai_messages(message)
    assert isinstance(told, dict)
    return {**told, "content": None} if told.get("tool_calls") and not told["content"] else told


def _words(chunk: Chunk) -> str | None:
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


def _message(chunk: Chunk) -> AIMessageChunk:
    """A chunk as LangChain has it. Raises `ValueError` or `LookupError` for what is none."""
    if error := chunk.get("error"):
        raise ValueError(f"the stream says that it failed: {type(error).__name__}")
    usage = chunk.get("usage")
    choices = chunk["choices"]
    if not choices:
        return AIMessageChunk(content="", usage_metadata=_usage(usage) if usage else None)
    delta = choices[0].get("delta") or {}
    reason = choices[0].get("finish_reason")
    return AIMessageChunk(
        content=delta.get("content") or "",
        tool_call_chunks=[
            tool_call_chunk(
                name=call["function"].get("name"),
                args=call["function"].get("arguments"),
                id=call.get("id"),
                index=call["index"],
            )
            for call in delta.get("tool_calls") or ()
        ],
        usage_metadata=_usage(usage) if usage else None,
        response_metadata={"finish_reason": reason} if reason else {},
    )


def _usage(told: dict[str, Any]) -> UsageMetadata:
    read, written = told.get("prompt_tokens") or 0, told.get("completion_tokens") or 0
    return UsageMetadata(
        input_tokens=read,
        output_tokens=written,
        total_tokens=told.get("total_tokens") or read + written,
    )
