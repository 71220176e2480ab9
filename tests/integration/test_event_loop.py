"""Nobody waits for another's work: no callback holds the retriever's event loop for long."""

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

from rig import Api, running
from scripted_llm import ScriptedLLM
from watchdog import Watchdog

from retriever.settings import RetrieverSettings

LONGEST_HASHES = 100_000
"""The longest takes as long as some 10,000; what embeds, parses or searches in the loop takes
more by far. On two cores of 2026 a hash takes half a microsecond of processor time."""
_LINE = (
    "retriever passage question model answer sentence index vector document search port storage "
    "reader tenant writer quote source chunk stream token server embedding rank score filter"
)
_WORDS = _LINE.split()


def _prose(seed: int, sentences: int) -> str:
    rng = random.Random(seed)
    return " ".join(
        " ".join([rng.choice(_WORDS).title(), *rng.choices(_WORDS, k=12)]) + "."
        for _ in range(sentences)
    )


def _asks(api: Api, number: int) -> None:
    question = f"Which {_WORDS[number % len(_WORDS)]} does the retriever read, number {number}?"
    assert api.post("/v1/search", json={"query": question, "top_k": 20}).status_code == 200
    reply = api.ask(question, stream=bool(number % 2), rag={"top_k": 5})
    assert reply.status_code == 200
    assert "error" not in reply.text


def test_no_callback_holds_the_event_loop(settings: RetrieverSettings, llm: ScriptedLLM) -> None:
    llm.say(_prose(1, 8))
    llm.pause = 0.003  # as a model writes
    settings = settings.model_copy(update={"relevance": -1.0})
    watchdog = Watchdog()
    with running(settings, loop="asyncio") as api:
        documents = [
            {"text": _prose(n, 120), "source": f"{n}", "title": f"Document {n}"} for n in range(12)
        ]
        api.ingest(*documents[:2])
        for number in range(4):  # what is made once is not what a reader waits for
            _asks(api, number)
        with watchdog.watching(), ThreadPoolExecutor(4) as readers:
            job = readers.submit(api.ingest, *documents[2:])
            list(readers.map(lambda number: _asks(api, number), range(10, 40)))
            assert job.result()["counts"]["added"] == 10
    assert len(watchdog.held) > 1000  # it did watch
    assert not watchdog.longer_than(_milliseconds_of(LONGEST_HASHES))


def _milliseconds_of(hashes: int) -> float:
    """Processor time that so many take here and now: a slower machine has longer callbacks."""
    began = time.thread_time()
    for _ in range(hashes):
        hashlib.sha256(b"x").digest()
    return 1000 * (time.thread_time() - began)
