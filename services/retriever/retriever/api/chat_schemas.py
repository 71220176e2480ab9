"""The replies of `POST /v1/chat/completions`: OpenAI's, and what Bulkhead adds."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from retriever.agent.steps import Outcome
from retriever.api.search import LegScores


class ToolSourceBody(BaseModel):
    """The call that a quote comes from."""

    server: str
    tool: str
    arguments: dict[str, Any]


class Quote(BaseModel):
    """Where a sentence of the answer is borne out: at `start` to `end` of the document's text."""

    marker: str = Field(description="Stands in the answer as `[marker]`.")
    document_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    quote: str


class CitationBody(Quote):
    """Where a sentence is borne out: `text[start:end] == quote` in the document's text.

    With `tool`, the quote is from a tool's result: `document_id` and `chunk_id` are the id of the
    step, `source` is `tool:SERVER/TOOL`, and `start:end` is in that step's `text`.
    """

    chunk_id: str
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
    queries: list[str] = Field(
        description="What was searched for: the question, and what it was searched for with, which"
        " counts a part of it: the turn that it is about and the last answer."
    )
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
    content: str | None
    refusal: str | None = Field(
        None, description="Why there is none, where JSON was asked for and nothing was found."
    )


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
