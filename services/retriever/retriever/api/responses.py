"""`POST /v1/responses`: OpenAI's newer call, answered from the documents as a chat is."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError
from bulkhead.logs import request_id
from retriever.answer.flow import Answered, Declined, Event
from retriever.api.answering import Answering, Events, Whole
from retriever.api.body import JsonRoute
from retriever.api.chat_schemas import CitationBody
from retriever.api.deps import EventDep, Reader, StackDep
from retriever.api.responses_request import ResponsesRequest
from retriever.api.responses_schemas import (
    Failure,
    FileCitation,
    Incomplete,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ResponseBody,
    ResponseUsage,
)

router = APIRouter(tags=["chat"], route_class=JsonRoute)


@router.post(
    "/v1/responses",
    response_model=ResponseBody,
    name="respond",
    summary="Ask a question, the newer way",
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer"}},
)
async def respond(
    body: ResponsesRequest, request: Request, principal: Reader, stack: StackDep, event: EventDep
) -> Response:
    """Answer the last question from the documents that the caller may see.

    Citations are `file_citation` annotations, and stand with grounding, steps, retrieval and
    timings beside the output. With `stream`, OpenAI's events; what is beside the output comes with
    the last one. Nothing is stored: `previous_response_id` is refused, and `store` is false.
    """
    answer = Answering(body.chat(), principal, stack, event, "resp_", "input")
    shape = _Shape(answer, body)
    if not body.stream:
        whole = await unless_disconnected(request, answer.whole())
        return Response(shape.ended(whole).model_dump_json(), media_type="application/json")
    events = await answer.begin()
    # The first word decides the status: what fails before it is an error, not a broken stream.
    first = await unless_disconnected(request, anext(events))
    return StreamingResponse(
        _Stream(answer, shape).all(first, events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


class _Shape:
    """An answer as OpenAI's response, at each point of its way."""

    def __init__(self, answer: Answering, body: ResponsesRequest) -> None:
        self._answer = answer
        self._body = body
        self.item_id = f"msg_{uuid.uuid4().hex}"

    def begun(self, status: str = "in_progress", **fields: Any) -> ResponseBody:
        """The response without an output, and what the caller asked for."""
        asked = self._body
        text = asked.text.model_dump() if asked.text and asked.text.format else None
        return ResponseBody.model_validate(
            {
                "id": self._answer.id,
                "created_at": self._answer.created,
                "status": status,
                "model": self._answer.model,
                "instructions": asked.instructions,
                "max_output_tokens": asked.max_output_tokens,
                "metadata": asked.metadata or {},
                "temperature": asked.temperature,
                "top_p": asked.top_p,
                "reasoning": asked.reasoning.model_dump() if asked.reasoning else {},
                "text": text or {"format": {"type": "text"}},
                **fields,
            }
        )

    def ended(self, whole: Whole) -> ResponseBody:
        """The response once all of it is there."""
        cut = whole.finish_reason == "length"
        extras = whole.extras.model_dump()
        usage = extras.pop("usage")
        return self.begun(
            "incomplete" if cut else "completed",
            completed_at=int(time.time()),
            incomplete_details=Incomplete() if cut else None,
            output=[self.item(whole)],
            usage=ResponseUsage(
                input_tokens=usage["prompt_tokens"],
                output_tokens=usage["completion_tokens"],
                total_tokens=usage["total_tokens"],
            ),
            **extras,
        )

    def item(self, whole: Whole | None = None) -> OutputMessage:
        """The item of the output; empty at its beginning."""
        if whole is None:
            return OutputMessage(id=self.item_id, status="in_progress", content=[])
        status = "incomplete" if whole.finish_reason == "length" else "completed"
        return OutputMessage(id=self.item_id, status=status, content=[_part(whole)])

    def failed(self, error: ApiError) -> ResponseBody:
        """The response where its stream could not go on."""
        told = error.body(request_id.get())["error"]
        code = {429: "rate_limit_exceeded", 422: "invalid_prompt"}.get(error.status, "server_error")
        return self.begun("failed", error=Failure.model_validate({**told, "code": code}))


class _Stream:
    """An answer as OpenAI's events, numbered."""

    def __init__(self, answer: Answering, shape: _Shape) -> None:
        self._answer = answer
        self._shape = shape
        self._number = 0
        self._refuses: bool | None = None  # until the first word says which part it is of

    async def all(self, first: Event, events: Events) -> AsyncIterator[bytes]:
        """The events. A client that leaves closes this, and so the model."""
        begun = self._shape.begun()
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        yield self._event("response.output_item.added", output_index=0, item=self._shape.item())
        async with aclosing(events):
            try:
                answered = first
                for told in self._progress(first):
                    yield told
                async for event in events:
                    for told in self._progress(event):
                        yield told
                    answered = event
                assert isinstance(answered, Answered)
                for told in self._end(await self._answer.ended(answered)):
                    yield told
            except ApiError as error:  # too late for a status: the stream says it
                self._answer.failed(error)
                yield self._event("response.failed", response=self._shape.failed(error))

    def _progress(self, event: Event) -> Iterator[bytes]:
        """What is told of an event: its words; a tool's step stands in the whole response."""
        if isinstance(event, str):
            yield from self._words(event, refuses=False)
        elif isinstance(event, Declined):
            yield from self._words(event.text, refuses=True)

    def _words(self, words: str, *, refuses: bool) -> Iterator[bytes]:
        if self._refuses is None:
            self._refuses = refuses
            part = OutputRefusal(refusal="") if refuses else OutputText(text="")
            yield self._within("response.content_part.added", part=part)
        if refuses:
            yield self._within("response.refusal.delta", delta=words)
        elif words:
            yield self._within("response.output_text.delta", delta=words, logprobs=[])

    def _end(self, whole: Whole) -> Iterator[bytes]:
        if self._refuses is None:  # not a word
            yield from self._words("", refuses=False)
        response = self._shape.ended(whole)
        (item,) = response.output
        (part,) = item.content
        if isinstance(part, OutputRefusal):
            yield self._within("response.refusal.done", refusal=part.refusal)
        else:
            for index, annotation in enumerate(part.annotations):
                yield self._within(
                    "response.output_text.annotation.added",
                    annotation_index=index,
                    annotation=annotation,
                )
            yield self._within("response.output_text.done", text=part.text, logprobs=[])
        yield self._within("response.content_part.done", part=part)
        yield self._event("response.output_item.done", output_index=0, item=item)
        yield self._event(f"response.{response.status}", response=response)

    def _within(self, kind: str, **fields: Any) -> bytes:
        """An event of the one part of the one item."""
        return self._event(
            kind, item_id=self._shape.item_id, output_index=0, content_index=0, **fields
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(data, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError


def _part(whole: Whole) -> OutputText | OutputRefusal:
    if whole.declined:
        return OutputRefusal(refusal=whole.text)
    return OutputText(text=whole.text, annotations=_annotations(whole.text, whole.extras.citations))


def _annotations(text: str, citations: Sequence[CitationBody]) -> list[FileCitation]:
    """The citations, each at every place where the text has its marker."""
    found = []
    for citation in citations:
        marker = f"[{citation.marker}]"
        at = text.find(marker)
        places = [at if at >= 0 else len(text)]
        while at >= 0 and (at := text.find(marker, at + len(marker))) >= 0:
            places.append(at)
        found += [
            FileCitation(
                **citation.model_dump(),
                file_id=citation.document_id,
                filename=citation.source,
                index=place,
            )
            for place in places
        ]
    return sorted(found, key=lambda one: one.index)
