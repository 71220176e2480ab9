"""The parts of the retriever's replies that are measured; fields not named here are ignored."""

from pydantic import BaseModel


class Found(BaseModel):
    """A search result; a chat reply's results have no text, and none is needed."""

    document_id: str
    source: str


class LegScores(BaseModel):
    """A chunk's score on each leg of the search that brought it."""

    dense: float | None = None
    sparse: float | None = None


class FoundChunk(Found):
    """A search result with its words: `text` begins at `start` of its document's text."""

    chunk_id: str
    title: str
    start: int
    end: int
    text: str
    score: float
    scores: LegScores


class SearchReply(BaseModel):
    """Reply of POST /v1/search; timings in milliseconds by stage."""

    results: list[FoundChunk]
    degraded: list[str]
    timings: dict[str, float] = {}


class Citation(BaseModel):
    """A quote of a document's text: text[start:end] in code points should equal `quote`."""

    marker: str
    document_id: str
    source: str
    start: int
    end: int
    quote: str


class Grounding(BaseModel):
    """What the retriever says about its own answer."""

    supported: bool
    unsupported: list[str]
    abstained: bool


class Usage(BaseModel):
    """Tokens of prompt and completion."""

    prompt_tokens: int
    completion_tokens: int


class Retrieval(BaseModel):
    """What the answer was made from."""

    degraded: list[str]
    results: list[Found]
    queries: list[str] = []


class Message(BaseModel):
    """The words of an answer."""

    content: str


class Choice(BaseModel):
    """An OpenAI choice."""

    message: Message
    finish_reason: str | None = None


class Step(BaseModel):
    """A call of a tool, and how it ended."""

    tool: str
    outcome: str


class ChatReply(BaseModel):
    """Reply of POST /v1/chat/completions; usage is absent or 0 where no model was asked."""

    choices: list[Choice]
    citations: list[Citation]
    grounding: Grounding
    retrieval: Retrieval
    usage: Usage | None = None
    timings: dict[str, float] = {}
    steps: list[Step] = []


class Delta(BaseModel):
    """A piece of streamed words."""

    content: str | None = None


class ChunkChoice(BaseModel):
    """An OpenAI choice of a stream."""

    delta: Delta
    finish_reason: str | None = None


class ChatChunk(BaseModel):
    """One event of a stream; the one with `finish_reason` carries `grounding`."""

    choices: list[ChunkChoice] = []
    grounding: Grounding | None = None
    error: dict[str, object] | None = None


class Model(BaseModel):
    """An entry of GET /v1/models."""

    id: str


class ModelList(BaseModel):
    """Reply of GET /v1/models."""

    data: list[Model]
