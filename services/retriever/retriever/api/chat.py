"""`POST /v1/chat/completions`: OpenAI's call, answered from the documents."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict

import orjson
from fastapi import APIRouter, Request
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from starlette.responses import Response, StreamingResponse

from bulkhead.auth import Principal
from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError, InvalidValue
from bulkhead.logs import request_id
from retriever.answer.flow import BACKGROUND, Answered, Question
from retriever.answer.retriever import HybridRetriever
from retriever.api.chat_schemas import (
    AnswerMessage,
    ChatReply,
    ChatRequest,
    Choice,
    CitationBody,
    Extras,
    GroundingBody,
    Retrieval,
    RetrievedChunk,
    UsageBody,
)
from retriever.api.deps import Reader, StackDep
from retriever.api.search import usable_text
from retriever.report import Report
from retriever.stack import Stack

router = APIRouter(tags=["chat"])

_TURNS = {
    "system": SystemMessage,
    "developer": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}

Events = AsyncGenerator[str | Answered, None]


@router.post(
    "/v1/chat/completions",
    response_model=ChatReply,
    summary="Ask a question",
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer"}},
)
async def chat(body: ChatRequest, request: Request, principal: Reader, stack: StackDep) -> Response:
    """Answer the last message from the documents that the key may see.

    With `stream`, OpenAI's chunks; the last one before `[DONE]` has no choices and carries
    citations, grounding, retrieval, timings and usage.
    """
    answer = _Answer(body, principal, stack)
    if not body.stream:
        reply = await unless_disconnected(request, answer.whole())
        return Response(reply.model_dump_json(), media_type="application/json")
    events = await answer.begin()
    # The first word decides the status: what fails before it is an error, not a broken stream.
    first = await unless_disconnected(request, anext(events))
    return StreamingResponse(
        answer.chunks(first, events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


class _Answer:
    """One answer on its way into OpenAI's shape."""

    def __init__(self, body: ChatRequest, principal: Principal, stack: Stack) -> None:
        self._body = body
        self._principal = principal
        self._stack = stack
        self._report = Report()
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = ""

    async def begin(self) -> Events:
        """Check the request and start the flow; nothing is asked of the model yet."""
        body, stack = self._body, self._stack
        question = _question(body, stack)
        served = await stack.llm.served()
        self._model = served.id
        answer_tokens = (
            body.max_completion_tokens or body.max_tokens or stack.settings.max_answer_tokens
        )
        context_tokens = served.context_tokens or stack.settings.context_tokens
        if answer_tokens >= context_tokens:
            raise InvalidValue(f"max_tokens: the model holds {context_tokens} with the prompt")
        retriever = HybridRetriever(
            searcher=stack.searcher,
            principal=self._principal,
            limit=max(question.top_k, BACKGROUND),
            options=body.rag.options(),
            report=self._report,
        )
        parameters = {**body.sampling(), "max_tokens": answer_tokens}
        # Beside the answer, not after it: a commit takes as long as all checks together.
        self._noted = asyncio.create_task(stack.feedback.note_answer(self._principal, self._id))
        return stack.answerer.answer(
            question,
            retriever,
            stack.llm.chat_model(served.id),
            context_tokens - answer_tokens,
            parameters,
            self._report,
        )

    async def whole(self) -> ChatReply:
        """The answer as one reply."""
        words = []
        async with aclosing(await self.begin()) as events:
            async for event in events:
                if isinstance(event, str):
                    words.append(event)
                else:
                    answered = event
        extras = await self._extras(answered)
        choice = Choice(
            message=AnswerMessage(content="".join(words)), finish_reason=answered.finish_reason
        )
        return ChatReply(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[choice],
            **extras.model_dump(),
        )

    async def chunks(self, first: str | Answered, events: Events) -> AsyncIterator[bytes]:
        """The answer as server-sent events. A client that leaves closes this, and so the model."""
        yield self._delta({"role": "assistant", "content": ""})
        async with aclosing(events):
            try:
                answered = first
                if isinstance(first, str):
                    yield self._delta({"content": first})
                async for event in events:
                    if isinstance(event, str):
                        yield self._delta({"content": event})
                    else:
                        answered = event
                assert isinstance(answered, Answered)
                yield self._delta({}, answered.finish_reason)
                extras = await self._extras(answered)
                yield self._event({"choices": [], **extras.model_dump()})
            except ApiError as error:  # too late for a status: the stream says it
                yield _sse(error.body(request_id.get()))
        yield b"data: [DONE]\n\n"

    async def _extras(self, answered: Answered) -> Extras:
        await self._noted
        self._report.finish()
        usage = answered.usage
        return Extras(
            citations=[CitationBody(**asdict(citation)) for citation in answered.citations],
            grounding=GroundingBody(**asdict(answered.grounding)),
            retrieval=Retrieval(
                mode=self._body.rag.mode,
                degraded=self._report.degraded,
                results=[
                    RetrievedChunk.model_validate(hit, from_attributes=True)
                    for hit in answered.hits
                ],
            ),
            timings=self._report.timings,
            usage=UsageBody(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
        )

    def _delta(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._event({"choices": [choice]})

    def _event(self, fields: dict[str, object]) -> bytes:
        return _sse(
            {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
                **fields,
            }
        )


def _question(body: ChatRequest, stack: Stack) -> Question:
    *before, last = body.messages
    if last.role != "user":
        raise InvalidValue("messages: the last one must be the user's question")
    history: list[BaseMessage] = [_TURNS[turn.role](turn.words()) for turn in before]
    return Question(
        text=usable_text(last.words(), "messages: the question", stack.settings),
        history=history,
        top_k=body.rag.top_k or stack.settings.top_k,
    )


def _sse(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
