"""The replies of `POST /v1/responses`: OpenAI's, and what Bulkhead adds."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from retriever.api.chat_schemas import CitationBody, GroundingBody, Retrieval, StepBody


class FileCitation(CitationBody):
    """A citation as OpenAI's clients look for it, with all that is known of it."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str = Field(description="The document's id.")
    filename: str = Field(description="The document's source.")
    index: int = Field(
        description="Where its marker stands in the answer's text, in code points; the end of it"
        " where the answer is JSON, which has no markers."
    )


class OutputText(BaseModel):
    """The answer's words."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[FileCitation] = []
    logprobs: list[Any] = []


class OutputRefusal(BaseModel):
    """Why there is no answer, where JSON was asked for and nothing was found."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class OutputMessage(BaseModel):
    """The one item of the output."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText | OutputRefusal]


class InputDetails(BaseModel):
    """OpenAI's; nothing is known of it here."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(BaseModel):
    """OpenAI's; nothing is known of it here."""

    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Tokens, as the model server counts them; zero when the model was not asked."""

    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class Failure(BaseModel):
    """Why a stream came to no end, in OpenAI's word for it and in ours."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str
    type: str
    request_id: str
    part: str | None = None
    param: str | None = None


class Incomplete(BaseModel):
    """Why the answer is cut off."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseBody(BaseModel):
    """OpenAI's response, with citations and grounding beside the output once it is there."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    model: str
    output: list[OutputMessage] = []
    usage: ResponseUsage | None = None

    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    temperature: float | None
    top_p: float | None
    reasoning: dict[str, Any]
    text: dict[str, Any]
    background: Literal[False] = False
    parallel_tool_calls: Literal[False] = False
    previous_response_id: None = None
    store: Literal[False] = Field(False, description="Nothing is stored.")
    tool_choice: Literal["auto"] = "auto"
    tools: list[Any] = Field([], description="The caller's are never called.")
    truncation: Literal["auto"] = Field(
        "auto", description="The oldest turns are left out where a prompt is too long."
    )

    citations: list[CitationBody] | None = None
    grounding: GroundingBody | None = None
    steps: list[StepBody] | None = None
    retrieval: Retrieval | None = None
    timings: dict[str, float] | None = None
    trace_id: str | None = None
