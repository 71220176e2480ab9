"""`POST /v1/chat/completions`: OpenAI's call, answered from the documents."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError
from bulkhead.logs import request_id
from retriever.agent.steps import Step
from retriever.answer.flow import Answered, Declined, Event
from retriever.api.answering import Answering, Events, Whole
from retriever.api.body import JsonRoute
from retriever.api.chat_request import ChatRequest
from retriever.api.chat_schemas import AnswerMessage, ChatReply, Choice, StepBody
from retriever.api.deps import EventDep, Reader, StackDep

router = APIRouter(tags=["chat"], route_class=JsonRoute)


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
    """Answer the last question from the documents that the caller may see.

    With `stream`, OpenAI's chunks; the one that carries `finish_reason` carries citations,
    grounding, steps, retrieval, timings and usage too. With `stream_options.include_usage` the
    usage comes on a chunk of its own after it, without choices. With `rag.tools`, a chunk with an
    empty delta and a `step` comes after each tool call.

    Where `response_format` asks for JSON and nothing was found, the message has a `refusal` and no
    content, as at OpenAI.
    """
    body.refuse_what_cannot_be_done()
    answer = Answering(body, principal, stack, event)
    if not body.stream:
        whole = await unless_disconnected(request, answer.whole())
        return Response(_reply(answer, whole).model_dump_json(), media_type="application/json")
    events = await answer.begin()
    # The first word decides the status: what fails before it is an error, not a broken stream.
    first = await unless_disconnected(request, anext(events))
    apart = bool(body.stream_options and body.stream_options.include_usage)
    return StreamingResponse(
        _Chunks(answer, usage_apart=apart).all(first, events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


def _reply(answer: Answering, whole: Whole) -> ChatReply:
    message = AnswerMessage(
        content=None if whole.declined else whole.text,
        refusal=whole.text if whole.declined else None,
    )
    return ChatReply(
        id=answer.id,
        created=answer.created,
        model=answer.model,
        choices=[Choice(message=message, finish_reason=whole.finish_reason)],
        **whole.extras.model_dump(),
    )


class _Chunks:
    """An answer as server-sent events, in OpenAI's chunks."""

    def __init__(self, answer: Answering, *, usage_apart: bool) -> None:
        self._answer = answer
        self._usage_apart = usage_apart

    async def all(self, first: Event, events: Events) -> AsyncIterator[bytes]:
        """The events as chunks. A client that leaves closes this, and so the model."""
        yield self._delta({"role": "assistant", "content": ""})
        async with aclosing(events):
            try:
                answered = first
                yield self._progress(first)
                async for event in events:
                    yield self._progress(event)
                    answered = event
                assert isinstance(answered, Answered)
                whole = await self._answer.ended(answered)
                extras = whole.extras.model_dump(mode="json")
                usage = {"usage": extras.pop("usage")} if self._usage_apart else {}
                yield self._delta({}, whole.finish_reason, **extras)
                if usage:
                    yield self._event({"choices": [], **usage})
            except ApiError as error:  # too late for a status: the stream says it
                self._answer.failed(error)
                yield _sse(error.body(request_id.get()))
        yield b"data: [DONE]\n\n"

    def _progress(self, event: Event) -> bytes:
        """What a stream says of an event; nothing of the last one, whose chunk comes later."""
        if isinstance(event, str):
            return self._delta({"content": event})
        if isinstance(event, Declined):
            return self._delta({"refusal": event.text})
        if isinstance(event, Step):
            step = StepBody.model_validate(event, from_attributes=True)
            return self._delta({}, step=step.model_dump(mode="json"))
        return b""

    def _delta(
        self, delta: dict[str, str], finish_reason: str | None = None, **more: object
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._event({"choices": [choice], **more})

    def _event(self, fields: dict[str, object]) -> bytes:
        return _sse(
            {
                "id": self._answer.id,
                "object": "chat.completion.chunk",
                "created": self._answer.created,
                "model": self._answer.model,
                **fields,
            }
        )


def _sse(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
