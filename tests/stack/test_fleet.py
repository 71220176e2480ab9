"""`docker compose up --scale retriever=3 --scale ingest=2`, with documents through it."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from compose_stack import Stack
from containers import outside

RETRIEVERS, WORKERS = 3, 2


def scaled(stack: Stack, retrievers: int, workers: int) -> None:
    """As docs/operations.md scales a stack that runs."""
    scale = [f"--scale=retriever={retrievers}", f"--scale=ingest={workers}"]
    command = ("up", "--detach", "--no-deps", *scale, "retriever", "ingest")
    stack.compose(*command, seconds=900)
    stack.until_ready(900)


@pytest.fixture(scope="module")
def fleet(stack: Stack) -> Iterator[Stack]:
    stack.environment["RETRIEVER_REPLICAS"] = str(RETRIEVERS)
    scaled(stack, RETRIEVERS, WORKERS)
    try:
        yield stack
    finally:
        del stack.environment["RETRIEVER_REPLICAS"]
        scaled(stack, 1, 1)


def containers(stack: Stack, service: str) -> list[str]:
    return stack.compose("ps", "--quiet", service).split()


def told(container: str, name: str) -> str:
    """What the engine says of a container's state."""
    command = ["docker", "inspect", f"--format={{{{.State.{name}}}}}", container]
    return subprocess.check_output(command, text=True).strip()


def asked(stack: Stack, path: str, **body: Any) -> dict[str, Any]:
    """A request on a connection of its own, which the ingress gives to any retriever."""
    url, headers = stack.api.base_url.join(path), dict(stack.api.headers)
    reply = httpx2.request(
        "POST" if body else "GET", url, json=body or None, headers=headers, timeout=120
    )
    assert reply.status_code in (200, 202), reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def instances(stack: Stack) -> set[str]:
    """Who answered some requests that were open at once."""
    with ThreadPoolExecutor(12) as pool:
        return {one["instance"] for one in pool.map(lambda _: asked(stack, "/readyz"), range(24))}


def test_the_ingress_leads_to_all_and_what_one_took_in_all_know(
    fleet: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert len(containers(fleet, "retriever")) == RETRIEVERS
    seen: set[str] = set()

    def all_seen() -> bool:
        seen.update(instances(fleet))
        return len(seen) == RETRIEVERS

    fleet.until(all_seen, 300)
    live = "workers WHERE seen_at > clock_timestamp() - interval '30 seconds'"
    with outside(fleet, tmp_path_factory.mktemp("fleet")) as reaching:
        fleet.until(lambda: reaching.count(live) == WORKERS, 300)

    documents = [
        {"text": f"The crane of fleet {n} lifts {n + 1} tonnes.", "source": f"fleet-{n}.md"}
        for n in range(60)
    ]
    job = asked(fleet, "/v1/documents", documents=documents)["id"]
    fleet.until(lambda: asked(fleet, f"/v1/jobs/{job}")["state"] == "succeeded", 600)
    assert asked(fleet, f"/v1/jobs/{job}")["counts"]["added"] == 60
    for n in range(0, 60, 5):  # each by whom it comes to
        query = {"query": f"crane of fleet {n} lifts {n + 1} tonnes", "top_k": 3, "mode": "sparse"}
        sources = [one["source"] for one in asked(fleet, "/v1/search", **query)["results"]]
        assert f"fleet-{n}.md" in sources


def test_one_that_is_stopped_and_one_that_is_killed_cost_no_search_and_no_document(
    fleet: Stack,
) -> None:
    documents = [
        {"text": f"The lock of fleet {n} is {n + 1} metres wide.", "source": f"lock-{n}.md"}
        for n in range(60)
    ]
    job = asked(fleet, "/v1/documents", documents=documents)["id"]
    os.kill(int(told(containers(fleet, "ingest")[0], "Pid")), signal.SIGKILL)
    stopped = containers(fleet, "retriever")[0]
    stopping = threading.Thread(
        target=subprocess.run,
        args=(["docker", "stop", stopped],),
        kwargs={"check": True, "capture_output": True},
    )
    stopping.start()
    while stopping.is_alive():
        assert asked(fleet, "/v1/search", query="crane of fleet 7", mode="sparse")["results"]
    stopping.join()
    assert told(stopped, "ExitCode") != str(128 + 9), "it did not end when it was asked to"
    assert asked(fleet, "/v1/search", query="crane of fleet 7", mode="sparse")["results"]
    fleet.until(lambda: asked(fleet, f"/v1/jobs/{job}")["state"] == "succeeded", 600)
    assert asked(fleet, f"/v1/jobs/{job}")["counts"]["added"] == 60
