"""A served request is one span and a duration; its trace goes on at neighbours."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from opentelemetry.baggage import get_baggage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import StreamingResponse
from telemetry import Recorded

from bulkhead.app import create_app
from bulkhead.disconnect import unless_disconnected
from bulkhead.health import Readiness
from bulkhead.settings import ServiceSettings
from bulkhead.telemetry.http import CARRYING
from bulkhead.telemetry.spans import span

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def made() -> FastAPI:
    router = APIRouter()

    @router.get("/items/{item}")
    async def item(item: str) -> dict[str, Any]:
        with span("work"):
            return {"item": item, "traffic": get_baggage("rag.traffic")}

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("nobody may read this")

    @router.get("/unavailable", status_code=503)
    async def unavailable() -> None: ...

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            for word in ("one ", "two"):
                with span("word"):
                    yield word

        return StreamingResponse(words())

    @router.get("/slow")
    async def slow(request: Request) -> None:
        await unless_disconnected(request, asyncio.sleep(60))

    @router.get("/endless")
    async def endless() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            while True:
                yield "word "
                await asyncio.sleep(0.001)

        return StreamingResponse(words())

    async def ready() -> Readiness:
        return Readiness(status="ready", parts={})

    return create_app(
        name="served",
        title="Served",
        description="For tests.",
        version="1",
        settings=ServiceSettings(port=1),
        routers=[router],
        ready=ready,
    )


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def asked(path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(made(), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, headers=headers)


def server_span(recorded: Recorded) -> ReadableSpan:
    (found,) = [one for one in recorded.spans() if one.kind is SpanKind.SERVER]
    return found


DURATION = "http.server.request.duration"


async def test_a_request_is_one_span_named_by_its_route(recorded: Recorded) -> None:
    await asked("/items/7")
    found = server_span(recorded)
    assert found.name == "GET /items/{item}"
    assert (found.attributes or {})["http.response.status_code"] == 200
    assert found.status.status_code is StatusCode.UNSET
    assert [one.name for one in recorded.spans()] == ["work", found.name]  # none of FastAPI's own


async def test_its_duration_has_no_label_that_who_asks_may_make_up(recorded: Recorded) -> None:
    await asked("/items/7")
    await asked("/nowhere", "BREW")
    labels = {label for found in recorded.counts(DURATION) for label in found}
    assert labels == {
        ("http.request.method", "GET"),
        ("http.request.method", "_OTHER"),
        ("http.route", "/items/{item}"),
        ("http.response.status_code", 200),
        ("http.response.status_code", 404),
        ("network.protocol.version", "1.1"),
        ("url.scheme", "http"),
    }


@pytest.mark.parametrize(
    ("path", "status", "kind"), [("/broken", 500, "500"), ("/unavailable", 503, "503")]
)
async def test_a_failure_of_ours_is_an_error_without_its_words(
    recorded: Recorded, path: str, status: int, kind: str
) -> None:
    assert (await asked(path)).status_code == status
    found = server_span(recorded)
    assert found.status.status_code is StatusCode.ERROR
    assert (found.attributes or {})["error.type"] == kind
    assert "nobody" not in found.to_json()


async def test_what_a_query_holds_is_not_kept(recorded: Recorded) -> None:
    assert (await asked("/items/7?q=marzipan")).status_code == 200
    assert "marzipan" not in server_span(recorded).to_json()


@pytest.mark.parametrize(("path", "status"), [("/slow", 499), ("/endless", 200)])
async def test_a_client_that_leaves_is_no_error(recorded: Recorded, path: str, status: int) -> None:
    leaving = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("body"):
            leaving.set()

    if path == "/slow":
        leaving.set()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "root_path": "",
    }  # fmt: skip
    await made()(scope, receive, send)
    found = server_span(recorded)
    assert found.status.status_code is StatusCode.UNSET
    assert "error.type" not in (found.attributes or {})
    assert (found.attributes or {})["http.response.status_code"] == status


async def test_a_callers_mistake_is_no_error(recorded: Recorded) -> None:
    assert (await asked("/items/7", "DELETE")).status_code == 405
    assert server_span(recorded).status.status_code is StatusCode.UNSET


async def test_health_is_not_traced(recorded: Recorded) -> None:
    assert (await asked("/readyz")).status_code == 200
    assert recorded.spans() == [] and recorded.counts(DURATION) == {}


async def test_the_callers_trace_and_baggage_go_on_here(recorded: Recorded) -> None:
    reply = await asked("/items/7", traceparent=PARENT, baggage="rag.traffic=canary")
    assert reply.json()["traffic"] == "canary"
    found = server_span(recorded)
    assert found.context is not None and found.parent is not None
    assert f"{found.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{found.parent.span_id:016x}" == PARENT.split("-")[2]


@pytest.mark.parametrize("traceparent", ["", "00-zz-zz-01", "nonsense", PARENT * 99])
async def test_nonsense_begins_a_trace_of_its_own(recorded: Recorded, traceparent: str) -> None:
    assert (await asked("/items/7", traceparent=traceparent)).status_code == 200
    assert server_span(recorded).parent is None


async def test_the_span_lasts_as_long_as_the_stream(recorded: Recorded) -> None:
    assert (await asked("/stream")).text == "one two"
    found = server_span(recorded)
    words = [one for one in recorded.spans() if one.name == "word"]
    assert len(words) == 2
    for word in words:
        assert word.parent is not None and found.context is not None
        assert word.parent.span_id == found.context.span_id
        assert (word.end_time or 0) <= (found.end_time or 0)


async def test_a_client_that_carries_tells_its_neighbour_the_span(recorded: Recorded) -> None:
    transport = httpx2.ASGITransport(made())
    client = httpx2.AsyncClient(transport=transport, base_url="http://test", event_hooks=CARRYING)
    async with client:
        with span("asking") as asking:
            await client.get("/items/7")
    found = server_span(recorded)
    assert found.parent is not None
    assert found.parent.span_id == asking.get_span_context().span_id
