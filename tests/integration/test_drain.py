"""A retriever that is told to go, as an engine and a cluster tell it, while it gives an answer."""

import json
import signal
import time
from collections.abc import Iterator

import httpx2
import pytest
from fleet import Fleet, Member, words
from rig import PORTS
from scripted_llm import ScriptedLLM

from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(900)
SAID = ["The ", "retriever ", "listens ", "on ", "port ", "8080."]


def answering(settings: RetrieverSettings, llm: ScriptedLLM, **more: str) -> Iterator[Member]:
    """A retriever whose answers stop before their last word."""
    llm.words, llm.hold = SAID, True
    fleet = Fleet(settings, retrievers=1, workers=0, **more)
    with fleet.running():
        (member,) = fleet.retrievers
        job = member.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
        assert job["state"] == "succeeded", job
        yield member


@pytest.fixture
def patient(settings: RetrieverSettings, llm: ScriptedLLM) -> Iterator[Member]:
    yield from answering(settings, llm, RETRIEVER_DRAIN_SECONDS="600")


@pytest.fixture
def shipped(settings: RetrieverSettings, llm: ScriptedLLM) -> Iterator[Member]:
    """With the time for what is under way that the stack gives."""
    yield from answering(settings, llm)


def refused(member: Member) -> bool:
    """Whether a new connection is."""
    try:
        reply = httpx2.get(member.api.base_url.join("/readyz"), timeout=60)
    except httpx2.ConnectError:
        return True
    except httpx2.TransportError:  # it was closed in that very moment
        return False
    # Who asked before the port was closed is told to look elsewhere.
    assert reply.status_code == 200 or reply.headers["connection"] == "close", reply.text
    return False


def test_a_retriever_that_is_told_to_go_takes_nothing_new_and_ends_its_stream_whole(
    patient: Member, llm: ScriptedLLM
) -> None:
    events = patient.stream()
    came = [next(events)]
    patient.tell(signal.SIGTERM)
    deadline = time.monotonic() + 120
    while not refused(patient):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    llm.hold = False
    came += events
    assert came[-1] == "[DONE]"
    assert "".join(SAID) in words(came)
    assert json.loads(came[-2])["choices"][0]["finish_reason"] == "stop"
    assert patient.ended() == -signal.SIGTERM  # by itself: uvicorn raises it again at its end
    patient.start()
    patient.await_open()
    assert patient.api.get("/v1/documents").json()["data"][0]["source"] == "ports.md"


def test_a_stream_that_does_not_end_is_ended_in_words_and_the_retriever_goes_by_itself(
    shipped: Member,
) -> None:
    events = shipped.stream()
    came = [next(events)]
    shipped.tell(signal.SIGTERM)
    came += events
    error = json.loads(came[-1])["error"]
    assert (error["type"], error["part"]) == ("unavailable", "process")
    assert shipped.ended() == -signal.SIGTERM
