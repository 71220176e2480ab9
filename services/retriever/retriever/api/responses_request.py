"""The request of `POST /v1/responses`: OpenAI's, with `rag`, made into that of a chat.

As there, harmless values are taken as they are, and what would change the answer and cannot be done
is refused with the name of the field. Nothing is stored: what was said before comes as `input`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bulkhead.errors import Unsupported
from retriever.api.chat_request import ChatRequest, Rag
from retriever.api.conversation import Called, Message, Part, ToolCall

_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
_STORED = "nothing is stored here; send the turns before as input"


class Item(BaseModel):
    """A turn, or a call of one of the caller's own tools, or the result of one."""

    model_config = ConfigDict(extra="ignore")

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    name: str | None = Field(None, max_length=256)
    arguments: str | None = None
    input: str | None = None
    call_id: str | None = None
    output: str | list[Part] | None = None


class TextFormat(BaseModel):
    """What the answer has to be: text, JSON, or JSON of a schema."""

    model_config = ConfigDict(extra="allow")

    type: str = "text"


class TextConfig(BaseModel):
    """How the answer is written."""

    model_config = ConfigDict(extra="ignore")

    format: TextFormat | None = None


class Reasoning(BaseModel):
    """How much the model thinks first, where it does."""

    model_config = ConfigDict(extra="ignore")

    effort: str | None = None


class ResponsesRequest(BaseModel):
    """OpenAI's request. The last user's turn of `input` is the question.

    `tools` of the caller are never called: with `tool_choice` at `auto` a model may always answer
    by itself, and this one answers from the documents. Where a call is demanded, that is refused.
    """

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {"input": "Which port does the retriever listen on?", "rag": {"top_k": 4}},
            ]
        },
    )

    model: str | None = Field(
        None, description="One of `GET /v1/models`; the default one where none is named."
    )
    input: str | Annotated[list[Item], Field(min_length=1, max_length=1999)]
    instructions: str | None = None
    stream: bool | None = None
    rag: Rag = Rag()

    max_output_tokens: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    metadata: dict[str, str] | None = Field(None, description="Comes back with the answer.")

    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    background: bool | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None

    def chat(self) -> ChatRequest:
        """The same as a chat. Raises `Unsupported`, with the field, for what cannot be done."""
        refused = {
            "previous_response_id": self.previous_response_id is not None and _STORED,
            "conversation": self.conversation is not None and _STORED,
            "prompt": self.prompt is not None and _STORED,
            "background": self.background and "an answer is waited for here, or streamed",
            "include": "message.output_text.logprobs" in (self.include or [])
            and "there are no log-probabilities",
        }
        for field, reason in refused.items():
            if reason:
                raise Unsupported(str(reason), field)
        chat = ChatRequest(
            model=self.model,
            messages=self._messages(),
            rag=self.rag,
            max_completion_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            response_format=self._response_format(),
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
            tool_choice=self.tool_choice,
            top_logprobs=self.top_logprobs,
        )
        chat.refuse_what_cannot_be_done()
        return chat

    def _messages(self) -> list[Message]:
        rules = [Message(role="developer", content=self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*rules, Message(role="user", content=self.input)]
        named = {item.call_id: item.name for item in self.input if item.type in _CALLS}
        turns = [_message(item, named) for item in self.input if item.type != "reasoning"]
        return [*rules, *turns]

    def _response_format(self) -> dict[str, Any] | None:
        wanted = self.text.format if self.text else None
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type not in ("json_object", "json_schema"):
            raise Unsupported(f"there is no {wanted.type!r}", "text.format")
        if wanted.type == "json_object":
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": wanted.model_extra or {}}


def _message(item: Item, named: dict[str | None, str | None]) -> Message:
    """The item as a turn of a chat; `named` tells the tools that calls are of."""
    if item.type in _CALLS:
        called = Called(name=item.name or "", arguments=item.arguments or item.input or "")
        return Message(role="assistant", tool_calls=[ToolCall(function=called)])
    if item.type in _RESULTS:
        return Message(role="tool", name=named.get(item.call_id), content=item.output)
    if item.type not in (None, "message"):
        stored = f": {_STORED}" if item.type == "item_reference" else ""
        raise Unsupported(f"an item of type {item.type[:64]!r} is not read here{stored}", "input")
    match item.role:
        case "user" | "assistant" | "system" | "developer":
            return Message(role=item.role, content=item.content)
        case _:
            raise Unsupported("a turn is a user's, assistant's, system's or developer's", "input")
