"""The turns that clients send, made into what a model is asked: rules, history, question.

Clients send system turns anywhere, several user turns in a row, calls and results of their own
tools, and turns without words. Many models' templates take one system message, at the front, and
then user and assistant by turns: so that is what comes out, with all the words that came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel, ConfigDict, Field

from bulkhead.errors import InvalidValue, Unsupported

_TEXTS = ("text", "input_text", "output_text", "refusal")
_RULES = ("system", "developer")
_RESULTS = ("tool", "function")


class Part(BaseModel):
    """A part of a message. Only words are read here."""

    model_config = ConfigDict(extra="ignore")

    type: str
    text: str | None = None
    refusal: str | None = None


class Called(BaseModel):
    """What an assistant's turn called."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    arguments: str | dict[str, Any] = ""


class ToolCall(BaseModel):
    """A call of one of the caller's own tools."""

    model_config = ConfigDict(extra="ignore")

    function: Called = Called()


class Message(BaseModel):
    """A turn of the conversation; what else OpenAI lets it have is accepted and not read."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Called | None = None
    name: str | None = Field(None, max_length=256)

    def words(self, field: str) -> str:
        """The content as one string. Raises `Unsupported` for pictures, sound and files."""
        if not isinstance(self.content, list):
            return self.content or self.refusal or ""
        for part in self.content:
            if part.type not in _TEXTS:
                raise Unsupported(f"only text is read here, not {part.type!r}", field)
        return "\n".join(part.text or part.refusal or "" for part in self.content)

    def calls(self) -> list[Called]:
        """What it called."""
        old = [self.function_call] if self.function_call else []
        return [*(call.function for call in self.tool_calls or []), *old]


@dataclass(frozen=True, slots=True)
class Conversation:
    """`history` begins with a user's turn, goes by turns, and ends with an assistant's."""

    rules: str
    """The caller's own instructions, all in one; empty where there are none."""
    history: list[BaseMessage]
    question: str
    before: str
    """What the user said last before the question, unanswered: part of the same turn."""


def conversation(messages: Sequence[Message], field: str = "messages") -> Conversation:
    """What the messages say, which the caller calls `field`. The last user's turn is the question.

    Only results of tools may stand after it: agent frameworks ask again with them. Raises
    `InvalidValue` where there is no question, `Unsupported` where it is not made of words.
    """
    rules = [turn.words(field) for turn in messages if turn.role in _RULES]
    turns = [turn for turn in messages if turn.role not in _RULES]
    asked = max((n for n, turn in enumerate(turns) if turn.role == "user"), default=None)
    if asked is None:
        raise InvalidValue(f"{field}: there is no user's turn to answer")
    if any(turn.role == "assistant" and not turn.calls() for turn in turns[asked + 1 :]):
        raise InvalidValue(f"{field}: the last one must be the user's question")
    history: list[BaseMessage] = []
    for turn in [*turns[:asked], *turns[asked + 1 :]]:
        words = _told(turn, field)
        kind = HumanMessage if turn.role == "user" else AIMessage
        if not words.strip():
            continue
        if history and isinstance(history[-1], kind):
            history[-1] = kind(f"{history[-1].text}\n\n{words}")
        elif history or kind is HumanMessage:
            history.append(kind(words))
        else:  # an assistant's greeting: a template wants the user first
            history += [HumanMessage("Hello."), AIMessage(words)]
    before = history.pop().text if history and isinstance(history[-1], HumanMessage) else ""
    return Conversation(
        rules="\n\n".join(rule for rule in rules if rule.strip()),
        history=history,
        question=turns[asked].words(field),
        before=before,
    )


def _told(turn: Message, field: str) -> str:
    """A turn in words. Calls and results are the assistant's side of the conversation."""
    if turn.role in _RESULTS:
        return f"Result of {turn.name or 'a tool'}: {turn.words(field)}"
    called = [f"Called {call.name} with {call.arguments}" for call in turn.calls()]
    return "\n".join(part for part in (turn.words(field), *called) if part)
