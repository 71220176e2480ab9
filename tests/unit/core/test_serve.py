"""A process that serves: what it has loaded is not collected, and it shows what it measures."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from textwrap import dedent

import httpx2
import pytest
from serving import free_port

SERVICE = dedent(
    """
    import gc, sys
    from fastapi import APIRouter
    from bulkhead.app import create_app, serve
    from bulkhead.health import Readiness
    from bulkhead.settings import ServiceSettings

    router = APIRouter()

    @router.get("/collector")
    async def collector() -> list[int]:
        return [gc.get_freeze_count()]

    async def ready() -> Readiness:
        return Readiness(status="ready", parts={})

    settings = ServiceSettings(host="127.0.0.1", port=int(sys.argv[1]))
    about = {"name": "test", "title": "test", "description": "", "version": "1"}
    serve(create_app(**about, settings=settings, routers=[router], ready=ready), settings)
    """
)


@pytest.fixture
def service() -> Iterator[httpx2.Client]:
    port = free_port()
    named = {**os.environ, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=replica-2"}
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(port)], env=named)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            for _ in range(600):
                try:
                    client.get("/healthz")
                    break
                except httpx2.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            process.wait(60)


def test_it_freezes_what_is_loaded_and_shows_histograms_where_nothing_else_was_measured(
    service: httpx2.Client,
) -> None:
    (frozen,) = service.get("/collector").json()
    assert frozen > 10_000
    page = service.get("/metrics").text
    assert "process_uptime_seconds" in page
    counted = next(line for line in page.splitlines() if "request_duration_seconds_count" in line)
    assert 'http_route="/collector"' in counted
    assert counted.endswith(" 1.0")


def test_readiness_and_metrics_say_which_of_several_processes_it_is(
    service: httpx2.Client,
) -> None:
    assert service.get("/readyz").json()["instance"] == "replica-2"
    assert 'service_instance_id="replica-2"' in service.get("/metrics").text
