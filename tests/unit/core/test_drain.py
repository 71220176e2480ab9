"""A process that is told to go: it says so, ends what is under way, and nobody loses an answer."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import httpx2
import pytest
from compose_file import rendered
from serving import free_port

SERVICE = dedent(
    """
    import asyncio, sys
    from fastapi import APIRouter
    from starlette.responses import StreamingResponse
    from bulkhead.app import create_app, serve
    from bulkhead.health import Readiness
    from bulkhead.settings import ServiceSettings

    router = APIRouter()

    @router.get("/words")
    async def words(until: str = "") -> StreamingResponse:
        async def all():
            yield b"data: one\\n\\n"
            while not (until and released):
                await asyncio.sleep(0.01)
            yield b"data: two\\n\\n"
        return StreamingResponse(all(), media_type="text/event-stream")

    @router.get("/whole")
    async def whole() -> str:
        await asyncio.sleep(600)

    @router.post("/release")
    async def release() -> str:
        released.append(1)
        return "released"

    async def ready() -> Readiness:
        return Readiness(status="ready", parts={})

    released = []
    port, linger, drain = sys.argv[1:]
    settings = ServiceSettings(
        host="127.0.0.1", port=int(port), linger_seconds=linger, drain_seconds=drain
    )
    about = {"name": "test", "title": "test", "description": "", "version": "1"}
    serve(create_app(**about, settings=settings, routers=[router], ready=ready), settings)
    """
)


@contextmanager
def service(linger: float, drain: float) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(port), str(linger), str(drain)])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None and time.monotonic() < deadline
                try:
                    assert client.get("/readyz").status_code == 200
                    break
                except httpx2.TransportError:
                    time.sleep(0.05)
            yield process, client
    finally:
        process.kill()
        process.wait(60)


def until_going(client: httpx2.Client) -> httpx2.Response:
    deadline = time.monotonic() + 60
    while (reply := client.get("/readyz")).status_code == 200:
        assert time.monotonic() < deadline
    return reply


def test_it_says_so_serves_what_still_comes_and_lets_a_stream_end() -> None:
    with service(60, 600) as (process, client), client.stream("GET", "/words?until=told") as words:
        lines = words.iter_lines()
        assert next(lines) == "data: one"
        process.send_signal(signal.SIGTERM)
        told = until_going(client)
        assert told.status_code == 503 and "ending" in told.json()["parts"]["process"]["detail"]
        released = client.post("/release")
        assert released.status_code == 200 and released.headers["connection"] == "close"
        assert [line for line in lines if line] == ["data: two"]
        process.send_signal(signal.SIGTERM)  # who asks twice has no time for those who may come
        assert process.wait(60) == -signal.SIGTERM


def test_a_stream_that_goes_on_ends_with_an_error_and_a_reply_that_has_not_begun_is_503() -> None:
    with service(0, 2) as (process, client), client.stream("GET", "/words") as words:
        lines = words.iter_lines()
        assert next(lines) == "data: one"
        late = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys, httpx2; r = httpx2.get(sys.argv[1], timeout=60);"
                "print(r.status_code, r.headers['retry-after'])",
                str(client.base_url.join("/whole")),
            ],
            stdout=subprocess.PIPE,
        )
        late_is_there(client)
        process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
        assert process.wait(60) == -signal.SIGTERM
        (event,) = rest
        error = json.loads(event.removeprefix("data: "))["error"]
        assert (error["type"], error["part"]) == ("unavailable", "process")
        out, _ = late.communicate(timeout=60)
        assert out.split() == [b"503", b"1"]


def late_is_there(client: httpx2.Client) -> None:
    """Wait until the second request is under way, by the server's own count."""
    deadline = time.monotonic() + 60
    while True:
        page = client.get("/metrics").text
        active = [line for line in page.splitlines() if "active_requests{" in line]
        if any(line.endswith(" 2.0") for line in active):  # the stream and this one
            return
        assert time.monotonic() < deadline, page
        time.sleep(0.05)


def test_a_process_that_has_nothing_under_way_goes_at_once() -> None:
    with service(0, 600) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == -signal.SIGTERM


def test_what_is_under_way_has_less_time_than_an_engine_gives_before_it_kills() -> None:
    from bulkhead.settings import CommonSettings

    for name, service in rendered()["services"].items():
        told = service.get("environment", {})
        drain = [float(value) for key, value in told.items() if key.endswith("_DRAIN_SECONDS")]
        drain = drain or [CommonSettings.model_fields["drain_seconds"].default]
        given = float(service["stop_grace_period"].removesuffix("s"))
        assert given == 10 and drain[0] + 2 <= given, name  # two to close the stores in


def test_lingering_is_a_part_of_draining() -> None:
    from bulkhead.settings import ServiceSettings

    with pytest.raises(ValueError, match="LINGER_SECONDS"):
        ServiceSettings(port=1, linger_seconds=9, drain_seconds=8)
