"""With a collector that takes all and answers nothing, answers come and nothing piles up."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM
from serving import serving
from stack_processes import planned, running, state

pytestmark = pytest.mark.timeout(600)

QUESTION = "Which port does the retriever listen on?"
QUEUE = 64
"""Spans that may wait in a process; small, so that it is full within a few requests."""


@dataclass
class Unheard:
    """A retriever whose spans go to a connection that nobody reads."""

    api: Api
    process: psutil.Process
    collector: socket.socket


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unheard]:
    kept = state(tmp_path_factory.mktemp("unheard"))
    llm = ScriptedLLM()
    llm.say("The retriever listens on port 8080.")
    with ExitStack() as exits:
        # The kernel lets clients in; nothing is ever read, and nothing answered.
        collector = exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        parts = planned(
            kept,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="600",  # whatever waited for it would outlast the test
            OTEL_BSP_MAX_QUEUE_SIZE=str(QUEUE),
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE=str(QUEUE // 2),
            OTEL_BSP_SCHEDULE_DELAY="100",
            RETRIEVER_LLM_URL=exits.enter_context(serving(llm.app)) + "/v1",
        )
        processes = exits.enter_context(running(kept, parts))
        headers = {"Authorization": f"Bearer {KEY}"}
        api = exits.enter_context(Api(base_url=parts[-1].url, headers=headers, timeout=60))
        assert api.ingest({"text": PORTS, "title": "Ports"})["counts"]["added"] == 1
        yield Unheard(api, psutil.Process(processes["retriever"].pid), collector)


def test_answers_do_not_wait_for_it(unheard: Unheard) -> None:
    unheard.collector.accept()[0].close()  # it was called; from here on nobody takes a call
    for _ in range(2 * QUEUE):  # more spans than may wait: the queue is full
        assert unheard.api.ask(QUESTION).status_code == 200


def test_nothing_piles_up(unheard: Unheard) -> None:
    def search(times: int) -> int:
        for n in range(times):
            assert unheard.api.post("/v1/search", json={"query": f"port {n}"}).status_code == 200
        rss: int = unheard.process.memory_info().rss
        return rss

    before = search(100)  # far more spans than the queue holds: it is full from here on
    after = search(400)
    print(f"memory grew by {(after - before) / 2**20:.1f} MiB in 400 searches")
    assert after - before < 16 * 2**20


def test_a_retriever_whose_collector_is_gone_still_ends(unheard: Unheard) -> None:
    unheard.collector.close()
    unheard.process.terminate()
    unheard.process.wait(100)
