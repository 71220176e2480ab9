"""`POST /v1/chat/completions`: OpenAI's call, answered from the documents."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from bulkhead.auth import Principal
from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError
from bulkhead.event import Event
from bulkhead.logs import request_id
from bulkhead.telemetry.spans import trace_id
from retriever.agent.servers import Search
from retriever.agent.steps import Step
from retriever.answer.flow import BACKGROUND, Answered, Question
from retriever.answer.outcome import count, failures_counted
from retriever.answer.retriever import HybridRetriever
from retriever.api.body import JsonRoute
from retriever.api.chat_request import ChatRequest
from retriever.api.chat_schemas import (
    AnswerMessage,
    ChatReply,
    Choice,
    CitationBody,
    Extras,
    GroundingBody,
    Retrieval,
    RetrievedChunk,
    StepBody,
    UsageBody,
)
from retriever.api.conversation import conversation
from retriever.api.deps import EventDep, Reader, StackDep
from retriever.api.search import usable_text
from retriever.report import Report
from retriever.stack import Stack

router = APIRouter(tags=["chat"], route_class=JsonRoute)

Events = AsyncGenerator[str | Step | Answered, None]


@router.post(
    "/v1/chat/completions",
    response_model=ChatReply,
    name="chat",
    summary="Ask a question",
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer"}},
)
async def chat(
    body: ChatRequest, request: Request, principal: Reader, stack: StackDep, event: EventDep
) -> Response:
    """Answer the last question from the documents that the key may see.

    With `stream`, OpenAI's chunks; the one that carries `finish_reason` carries citations,
    grounding, steps, retrieval, timings and usage too. With `stream_options.include_usage` the
    usage comes on a chunk of its own after it, without choices. With `rag.tools`, a chunk with an
    empty delta and a `step` comes after each tool call.
    """
    body.refuse_what_cannot_be_done()
    answer = _Answer(body, principal, stack, event)
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

    def __init__(self, body: ChatRequest, principal: Principal, stack: Stack, event: Event) -> None:
        self._body = body
        self._principal = principal
        self._stack = stack
        self._audited = event
        self._report = Report()
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        event.target = self._id
        self._created = int(time.time())
        self._model = ""
        self._asked = ""
        self._words: list[str] = []

    async def begin(self) -> Events:
        """Check the request and start the flow; nothing is asked of the model yet."""
        body, stack = self._body, self._stack
        await stack.limits.tokens(self._principal)
        question = _question(body, stack)
        self._asked = question.text
        with failures_counted(self._report):
            served = await stack.llm.served(body.model)
        self._model = served.id
        context_tokens = served.context_tokens or stack.settings.context_tokens
        # An answer may take half of what the model holds: the other half is for what it rests on.
        answer_tokens = body.answer_tokens(stack.settings.max_answer_tokens, context_tokens // 2)
        retriever = HybridRetriever(
            searcher=stack.searcher,
            principal=self._principal,
            limit=max(question.top_k, BACKGROUND),
            options=body.rag.options(),
            report=self._report,
        )
        parameters = {**body.sampling(served.extended), "max_tokens": answer_tokens}
        if served.salted:
            salt = stack.keys.cache_salt(self._principal.tenant)
            more = parameters.get("extra_body", {})
            parameters["extra_body"] = {**more, "cache_salt": salt}
        gate = None
        if body.rag.tools:
            search = Search(stack.searcher, body.rag.options(), self._report)
            gate = stack.toolbox.gate(self._principal, body.rag.tools, search)
        # Beside the answer, not after it: a commit takes as long as all checks together.
        self._noted = asyncio.create_task(stack.feedback.note_answer(self._principal, self._id))
        events = stack.answerer.answer(
            question,
            retriever,
            stack.llm.chat_model(served.id),
            context_tokens - answer_tokens,
            parameters,
            self._report,
            gate,
        )
        return self._charged(self._counted(events), answer_tokens)

    async def _counted(self, events: Events) -> Events:
        async with aclosing(events):
            with failures_counted(self._report):
                async for event in events:
                    if isinstance(event, str):
                        self._words.append(event)
                    yield event

    async def _charged(self, events: Events, most: int) -> Events:
        """The events; the key pays for their tokens.

        Where nobody reads to the end, nobody counts: that costs all the tokens that were asked for.
        """
        tokens = most
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Answered):
                        tokens = event.usage.prompt_tokens + event.usage.completion_tokens
                    yield event
        except ApiError:
            tokens = 0
            raise
        finally:
            await self._stack.limits.charge(self._principal, tokens)

    async def whole(self) -> ChatReply:
        """The answer as one reply."""
        async with aclosing(await self.begin()) as events:
            async for event in events:
                if isinstance(event, Answered):
                    answered = event
        extras = await self._extras(answered)
        choice = Choice(
            message=AnswerMessage(content="".join(self._words)),
            finish_reason=answered.finish_reason,
        )
        return ChatReply(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[choice],
            **extras.model_dump(),
        )

    async def chunks(self, first: str | Step | Answered, events: Events) -> AsyncIterator[bytes]:
        """The answer as server-sent events. A client that leaves closes this, and so the model."""
        yield self._delta({"role": "assistant", "content": ""})
        async with aclosing(events):
            try:
                answered = first
                yield self._progress(first)
                async for event in events:
                    yield self._progress(event)
                    answered = event
                assert isinstance(answered, Answered)
                extras = (await self._extras(answered)).model_dump(mode="json")
                apart = self._body.stream_options and self._body.stream_options.include_usage
                usage = {"usage": extras.pop("usage")} if apart else {}
                yield self._delta({}, answered.finish_reason, **extras)
                if apart:
                    yield self._event({"choices": [], **usage})
            except ApiError as error:  # too late for a status: the stream says it
                self._audited.error = error.type
                yield _sse(error.body(request_id.get()))
        yield b"data: [DONE]\n\n"

    def _progress(self, event: str | Step | Answered) -> bytes:
        """What a stream says of an event; nothing of the last one, whose chunk comes later."""
        if isinstance(event, str):
            return self._delta({"content": event})
        if isinstance(event, Step):
            step = StepBody.model_validate(event, from_attributes=True)
            return self._delta({}, step=step.model_dump(mode="json"))
        return b""

    async def _extras(self, answered: Answered) -> Extras:
        await self._noted
        self._report.finish()
        count(answered, self._report)
        self._audited.documents += [hit.document_id for hit in answered.hits]
        self._offer(answered)
        usage = answered.usage
        return Extras(
            citations=[CitationBody(**asdict(citation)) for citation in answered.citations],
            grounding=GroundingBody(**asdict(answered.grounding)),
            steps=[StepBody.model_validate(step, from_attributes=True) for step in answered.steps],
            retrieval=Retrieval(
                mode=self._body.rag.mode,
                queries=answered.searched,
                degraded=self._report.degraded,
                results=[
                    RetrievedChunk.model_validate(hit, from_attributes=True)
                    for hit in answered.hits
                ],
            ),
            timings=self._report.timings,
            trace_id=trace_id(),
            usage=UsageBody(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
        )

    def _offer(self, answered: Answered) -> None:
        """An answer that claims something may be evaluated, without our markers in it."""
        answer = "".join(self._words)
        for citation in answered.citations:
            answer = answer.replace(f" [{citation.marker}]", "")
        if self._stack.quality and not answered.grounding.abstained and answer.strip():
            self._stack.quality.offer(
                self._id,
                self._asked,
                answer,
                [hit.text for hit in answered.hits],
                self._report.traffic,
            )

    def _delta(
        self, delta: dict[str, str], finish_reason: str | None = None, **more: object
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._event({"choices": [choice], **more})

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
    said = conversation(body.messages)
    return Question(
        text=usable_text(said.question, "messages: the question", stack.settings),
        history=said.history,
        top_k=body.rag.top_k or stack.settings.top_k,
        rules=said.rules,
        before=said.before,
        marked=not body.json_only,
    )


def _sse(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
