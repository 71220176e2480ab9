"""With the collector gone, answers are as fast and nothing piles up."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest
from otlp_receiver import receiving
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM
from serving import free_port, serving
from stack_processes import planned, running, state

pytestmark = pytest.mark.timeout(300)

QUESTION = "Which port does the retriever listen on?"
QUEUE = 64
"""Spans that may wait in a process; small, so that it is full within a few requests."""


@dataclass
class Pair:
    """Two retrievers with the same neighbours: one's collector listens, the other's is gone."""

    heard: Api
    unheard: Api
    unheard_process: psutil.Process


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    llm = ScriptedLLM()
    llm.say("The retriever listens on port 8080.")
    with ExitStack() as exits:
        collector = exits.enter_context(receiving())
        told = {
            "RETRIEVER_LLM_URL": exits.enter_context(serving(llm.app)) + "/v1",
            "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(QUEUE // 2),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        heard_state, unheard_state = state(folder / "heard"), state(folder / "unheard")
        heard = planned(heard_state, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **told)
        unheard = planned(
            unheard_state,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
            RETRIEVER_EMBEDDING_URL=heard[0].url,
            **told,
        )
        exits.enter_context(running(heard_state, heard))
        processes = exits.enter_context(running(unheard_state, unheard))
        apis = [
            exits.enter_context(
                Api(base_url=part.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
            )
            for part in (heard[-1], unheard[-1])
        ]
        for api in apis:
            assert api.ingest({"text": PORTS, "title": "Ports"})["counts"]["added"] == 1
            for _ in range(5):
                assert api.ask(QUESTION).status_code == 200
        yield Pair(apis[0], apis[1], psutil.Process(processes["retriever"].pid))


def test_answers_are_as_fast(pair: Pair) -> None:
    taken: dict[Api, list[float]] = {pair.heard: [], pair.unheard: []}
    for _ in range(40):  # in turns: whatever else the machine does slows both down
        for api, seconds in taken.items():
            started = time.perf_counter()
            assert api.ask(QUESTION).status_code == 200
            seconds.append(time.perf_counter() - started)
    heard, unheard = (statistics.median(seconds) for seconds in taken.values())
    print(f"median answer: {heard * 1000:.1f} ms heard, {unheard * 1000:.1f} ms unheard")
    assert unheard < 1.3 * heard


def test_nothing_piles_up(pair: Pair) -> None:
    def search(times: int) -> int:
        for n in range(times):
            assert pair.unheard.post("/v1/search", json={"query": f"port {n}"}).status_code == 200
        rss: int = pair.unheard_process.memory_info().rss
        return rss

    before = search(100)  # far more spans than the queue holds: it is full from here on
    after = search(400)
    print(f"memory grew by {(after - before) / 2**20:.1f} MiB in 400 searches")
    assert after - before < 16 * 2**20


def test_a_retriever_whose_collector_is_gone_still_ends_in_time(pair: Pair) -> None:
    started = time.perf_counter()
    pair.unheard_process.terminate()
    pair.unheard_process.wait(30)
    assert time.perf_counter() - started < 10  # what containers and the supervisor allow
