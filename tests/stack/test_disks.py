"""A disk that is full, a store that hangs: told in words, waited for, and nothing lost."""

import subprocess

import pytest
from compose_disks import full
from compose_stack import Stack, queried
from rig import PORTS

QUESTION = "Which port does the embedding service listen on?"
FULL = "the index's disk is full"


@pytest.fixture
def stored(stack: Stack) -> str:
    """The id of a document in the stack."""
    stack.until_ready()
    stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    documents = stack.api.get("/v1/documents", params={"limit": 1000}).json()["data"]
    (found,) = [one["id"] for one in documents if one["source"] == "ports.md"]
    return str(found)


def search(stack: Stack) -> list[str]:
    reply = stack.api.post("/v1/search", json={"query": QUESTION, "mode": "sparse"})
    assert reply.status_code == 200, reply.text
    return [one["source"] for one in reply.json()["results"]]


def test_a_full_disk_under_qdrant_is_waited_for_and_nothing_is_given_up(
    stack: Stack, stored: str
) -> None:
    texts = [{"text": f"Canary {n} sings in berth {n}.", "source": f"c{n}.md"} for n in range(40)]
    with full("qdrant-data"):
        job = stack.api.post("/v1/documents", json={"documents": texts}).json()["id"]
        stack.until(lambda: stack.api.get(f"/v1/jobs/{job}").json()["waiting"] == FULL, 120)
        assert stack.api.get(f"/v1/jobs/{job}").json()["counts"]["failed"] == 0
        ready = stack.readiness()
        assert ready["status"] == "degraded" and ready["parts"]["qdrant"]["state"] == "up"
        assert ready["parts"]["ingest"] == {"state": "down", "detail": FULL}
        assert "ports.md" in search(stack)
        stack.until(lambda: bool(queried(stack, "max(rag_index_refuses) > 0")[0]), 300)

        assert stack.api.delete(f"/v1/documents/{stored}").status_code == 202
        assert stack.api.get(f"/v1/documents/{stored}").status_code == 404
        assert "ports.md" not in search(stack)

    done = stack.api.finished(job)
    assert (done["state"], done["counts"]["added"]) == ("succeeded", 40), done
    stack.until_ready()
    stack.until(lambda: not queried(stack, "max(rag_index_refuses) > 0")[0], 300)


def test_a_full_disk_under_the_retriever_refuses_changes_and_ends_no_read(
    stack: Stack, stored: str
) -> None:
    text = {"documents": [{"text": "A canary sings. " * 9999, "source": "canary.md"}]}
    with full("retriever-data"):
        assert "ports.md" in search(stack)
        # A line that cannot be written is what tells of the disk.
        stack.until(lambda: stack.readiness()["parts"]["audit"]["state"] == "down", 120)
        refused = stack.api.post("/v1/documents", json=text)
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["part"] == "audit"
        assert "ports.md" in search(stack)
        assert stack.api.text(stored) == PORTS
        stack.kill("retriever")  # and whether or not it can start on a full disk:
    stack.until_ready()
    assert stack.api.ingest(*text["documents"])["state"] == "succeeded"
    assert stack.api.text(stored) == PORTS


def test_a_full_disk_under_the_state_refuses_changes_and_loses_nothing(
    stack: Stack, stored: str
) -> None:
    # Longer than what the log of PostgreSQL has room for already.
    text = {"documents": [{"text": "A canary sings. " * 2**20, "source": "long.md"}]}
    with full("state-data"):
        reply = stack.api.post("/v1/documents", json=text)
        assert reply.status_code == 503, reply.text
        assert reply.json()["error"]["type"] == "unavailable"
    stack.until_ready()
    assert stack.api.text(stored) == PORTS
    again = stack.api.ingest({"text": "A canary sings.", "source": "short.md"})
    assert again["state"] == "succeeded"


def test_a_qdrant_that_hangs_is_given_up_and_found_again(stack: Stack, stored: str) -> None:
    """Paused, as by a machine that is out of memory: its connections stay open."""
    qdrant = stack.container("qdrant")
    subprocess.run(["docker", "pause", qdrant], check=True)
    try:
        for reply in (
            stack.api.post("/v1/search", json={"query": QUESTION}),
            stack.api.ask(QUESTION),
        ):
            assert reply.status_code == 503, reply.text
            assert reply.json()["error"]["part"] == "qdrant"
        ready = stack.api.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["qdrant"]["state"]) == (503, "down")
        assert stack.api.text(stored) == PORTS
    finally:
        subprocess.run(["docker", "unpause", qdrant], check=True)
    stack.until_ready()
    assert "ports.md" in search(stack)
