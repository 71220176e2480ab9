"""The shapes of `POST /v1/chat/completions`: OpenAI's, and what Bulkhead adds."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from retriever.agent.steps import Outcome
from retriever.api.search import LegScores, RetrievalFields, TopK


class TextPart(BaseModel):
    """A part of a message; only text is understood here."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def words(self) -> str:
        """The content as one string."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


ToolName = Annotated[str, Field(max_length=64)]


class Rag(RetrievalFields):
    """How to find the sources of the answer."""

    top_k: TopK | None = Field(None, description="Chunks shown to the model.")
    tools: bool | list[ToolName] = Field(
        False,
        description="Tools that the model may call: true for all of the policy, or names.",
        examples=[True, ["filesystem__read_text"]],
    )


class StreamOptions(BaseModel):
    """OpenAI's stream options; usage is sent in any case."""

    include_usage: bool = True


class ChatRequest(BaseModel):
    """OpenAI's request. The last message is the question, those before it the conversation.

    What OpenAI has and this release does not (tools, several choices, images, …) is refused, not
    ignored; fields that only label a request (`user`, `metadata`, `store`) are accepted.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "model": "smollm2-135m-instruct",
                    "messages": [
                        {"role": "user", "content": "Which port does the retriever listen on?"}
                    ],
                    "stream": True,
                    "rag": {"mode": "hybrid", "top_k": 4},
                }
            ]
        },
    )

    model: str = Field("", description="Any name: the reply's `model` names the one that answered.")
    messages: list[Message] = Field(min_length=1, max_length=200)
    stream: bool = False
    stream_options: StreamOptions | None = None
    rag: Rag = Rag()

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    n: Literal[1] = 1
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None

    def sampling(self) -> dict[str, Any]:
        """The parameters that go to the model as they are."""
        names = ("temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty")
        given = {name: getattr(self, name) for name in names}
        if isinstance(self.stop, str):
            given["stop"] = [self.stop]
        return {name: value for name, value in given.items() if value is not None}


class ToolSourceBody(BaseModel):
    """The call that a quote comes from."""

    server: str
    tool: str
    arguments: dict[str, Any]


class CitationBody(BaseModel):
    """Where a sentence is borne out: `text[start:end] == quote` in the document's text.

    With `tool`, the quote is from a tool's result: `document_id` and `chunk_id` are the id of the
    step, `source` is `tool:SERVER/TOOL`, and `start:end` is in that step's `text`.
    """

    marker: str = Field(description="Stands in the answer as `[marker]`.")
    document_id: str
    chunk_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    quote: str
    score: float = Field(description="Share of the sentence's weighted terms in the quote.")
    tool: ToolSourceBody | None = Field(None, description="For a quote from a tool's result.")


class ApprovalPending(BaseModel):
    """An approval to give at `POST /v1/approvals/{id}` before the same call can be made."""

    id: str
    expires_at: float = Field(description="Unix time, in seconds.")


class StepBody(BaseModel):
    """One tool call of the model."""

    id: str
    server: str = Field(description="Empty when the model made the tool up.")
    tool: str
    arguments: dict[str, Any] | None = Field(
        description="Null where they were not JSON, or held a secret."
    )
    outcome: Outcome = Field(
        description="`failed`: the tool said no; `error`: its server was down, slow or wrong;"
        " `refused`: our gate said no."
    )
    detail: str = Field(description="Why it did not go well.")
    duration_ms: float
    text: str = Field(
        description="The result as the model read it; others wrote it, so show it as plain text."
    )
    approval: ApprovalPending | None = None


class GroundingBody(BaseModel):
    """What the check of the answer found."""

    supported: bool = Field(description="Every sentence is borne out by a quoted source.")
    unsupported: list[str] = Field(description="The sentences that no source bears out.")
    abstained: bool = Field(description="The answer says that it does not know.")
    evaluator: str


class RetrievedChunk(BaseModel):
    """A chunk that the model was shown; its text is at `start:end` of the document's text."""

    chunk_id: str
    document_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    score: float
    scores: LegScores


class Retrieval(BaseModel):
    """How the sources were found."""

    mode: str
    degraded: list[str]
    results: list[RetrievedChunk]


class UsageBody(BaseModel):
    """Tokens, as the model server counts them; zero when the model was not asked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Extras(BaseModel):
    """What Bulkhead adds to a reply, and to the last chunk of a stream."""

    citations: list[CitationBody]
    grounding: GroundingBody
    steps: list[StepBody] = Field(description="The model's tool calls, in order.")
    retrieval: Retrieval
    timings: dict[str, float] = Field(description="Milliseconds a stage.")
    trace_id: str | None = Field(description="The trace of this answer, where telemetry is on.")
    usage: UsageBody


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The one choice."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: str
    logprobs: None = None


class ChatReply(Extras):
    """OpenAI's chat completion, with citations and grounding beside the choices."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
