"""The request of `POST /v1/chat/completions`: OpenAI's, with `rag`.

What clients send at harmless values is taken as it is; what would change the answer and cannot be
done here is refused, with the name of the field. A field that nobody knows is ignored, as model
servers do.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bulkhead.errors import Unsupported
from retriever.api.conversation import Message
from retriever.api.search import RetrievalFields, TopK

_OPENAI = (
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "response_format",
)
"""What every model server knows."""
_EXTENDED = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "repeat_penalty",
    "chat_template_kwargs",
    "reasoning_effort",
)
"""What vLLM and llama.cpp know beside it, each some; they ignore the others."""

ToolName = Annotated[str, Field(max_length=64)]


class Rag(RetrievalFields):
    """How to find the sources of the answer."""

    top_k: TopK | None = Field(
        None, description="Chunks shown to the model; else as many as are worth their tokens."
    )
    tools: bool | list[ToolName] = Field(
        False,
        description="Tools that the model may call: true for all of the policy, or names.",
        examples=[True, ["filesystem__read_text"]],
    )


class StreamOptions(BaseModel):
    """OpenAI's stream options."""

    include_usage: bool | None = Field(
        None, description="Send the usage on a last chunk of its own, which has no choices."
    )


class ChatRequest(BaseModel):
    """OpenAI's request. The last user's turn is the question, those before it the conversation.

    `tools` of the caller are never called: with `tool_choice` at `auto` a model may always answer
    by itself, and this one answers from the documents. Where a call is demanded, that is refused.
    """

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {"role": "user", "content": "Which port does the retriever listen on?"}
                    ],
                    "stream": True,
                    "rag": {"mode": "hybrid", "top_k": 4},
                }
            ]
        },
    )

    model: str | None = Field(
        None, description="One of `GET /v1/models`; the default one where none is named."
    )
    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    rag: Rag = Rag()

    max_tokens: int | None = Field(
        None, description="Most tokens of the answer; 0 and less: as many as there is room for."
    )
    max_completion_tokens: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    response_format: dict[str, Any] | None = None
    top_k: int | None = None
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0)
    repeat_penalty: float | None = Field(None, gt=0)
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None

    def refuse_what_cannot_be_done(self) -> None:
        """Raise `Unsupported`, with the field, for what would change the answer."""
        refused = {
            "n": self.n not in (None, 1),
            "logprobs": bool(self.logprobs),
            "top_logprobs": bool(self.top_logprobs),
            "tool_choice": self.tool_choice not in (None, "none", "auto"),
            "function_call": self.function_call not in (None, "none", "auto"),
            "modalities": self.modalities not in (None, [], ["text"]),
            "audio": bool(self.audio),
            "web_search_options": self.web_search_options is not None,
        }
        for field, is_refused in refused.items():
            if is_refused:
                raise Unsupported(_REASONS.get(field, "this cannot be done here"), field)

    @property
    def json_only(self) -> bool:
        """Whether the answer has to be JSON."""
        return (self.response_format or {}).get("type") in ("json_object", "json_schema")

    def answer_tokens(self, default: int, most: int) -> int:
        """Most tokens of the answer: what is asked for, at most `most`."""
        asked = self.max_completion_tokens
        if asked is None:
            asked = self.max_tokens
        if asked is None:
            return min(default, most)
        return min(asked, most) if asked > 0 else most

    def sampling(self, extended: bool) -> dict[str, Any]:
        """The parameters that go to the model as they are; `extended` where it knows more."""
        given = {name: getattr(self, name) for name in _OPENAI}
        if isinstance(self.stop, str):
            given["stop"] = [self.stop]
        elif self.stop:
            given["stop"] = self.stop
        if (self.response_format or {}).get("type") == "text":
            del given["response_format"]
        more = {name: getattr(self, name) for name in _EXTENDED} if extended else {}
        more = {name: value for name, value in more.items() if value is not None}
        if more:
            given["extra_body"] = more
        return {name: value for name, value in given.items() if value not in (None, {})}


_REASONS = {
    "n": "one answer at a time",
    "logprobs": "log-probabilities are of the model's words, and the answer is not only those",
    "top_logprobs": "log-probabilities are of the model's words, and the answer is not only those",
    "tool_choice": "the caller's tools are never called here; rag.tools lets the model use its own",
    "function_call": "the caller's tools are never called here; rag.tools lets the model use its"
    " own",
    "modalities": "only text is written here",
    "audio": "only text is written here",
    "web_search_options": "answers come from the documents, not from the web",
}
