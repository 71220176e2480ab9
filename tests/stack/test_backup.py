"""The drills of docs/backup.md on the containers: backed up, lost, restored, embedded anew."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compose_disks import emptied
from compose_stack import Stack
from containers import Outside, outside
from rig import PORTS, SOUP

_WRITERS = ("retriever", "ingest")
_STORES = ("state", "qdrant")


class Drill:
    """A stack with documents and keys, and a backup of it."""

    def __init__(self, stack: Stack, outside: Outside, folder: Path) -> None:
        self.stack, self.outside, self.folder = stack, outside, folder
        (folder / "backup-key").write_text("a passphrase of a drill")
        stack.until_ready()
        done = stack.api.ingest(
            {"text": PORTS, "title": "Ports", "source": "ports.md"},
            {"text": SOUP, "title": "Canteen", "source": "canteen.txt"},
        )
        assert done["state"] == "succeeded", done
        reader = {"tenant": "default", "role": "reader"}
        self.revoked, self.kept = (stack.api.post("/v1/keys", json=reader).json() for _ in range(2))
        assert stack.api.delete(f"/v1/keys/{self.revoked['id']}").status_code == 204
        self.listed = self.documents()
        self.made = folder / "monday"
        code, said = self.backup("create", self.made)
        assert code == 0 and f"{len(self.listed)} documents" in said, said

    def documents(self) -> dict[str, str]:
        """Ids of all documents, by their sources."""
        told = self.stack.api.get("/v1/documents", params={"limit": 1000}).json()["data"]
        return {one["source"]: one["id"] for one in told}

    def backup(self, command: str, folder: Path, **told: str) -> tuple[int, str]:
        key = str(self.folder / "backup-key")
        return self.outside.run("backup", command, str(folder), "--key-file", key, **told)

    def status(self, key: dict[str, Any]) -> int:
        """What a key gets."""
        headers = {"Authorization": f"Bearer {key['key']}"}
        return self.stack.api.get("/v1/documents", headers=headers).status_code

    def search(self, query: str) -> list[str]:
        reply = self.stack.api.post("/v1/search", json={"query": query, "top_k": 1})
        assert reply.status_code == 200, reply.text
        return [one["source"] for one in reply.json()["results"]]


@pytest.fixture(scope="module")
def drill(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    folder = tmp_path_factory.mktemp("drill")
    with outside(stack, folder) as reaching:
        yield Drill(stack, reaching, folder)


def refused(done: tuple[int, str], words: str) -> None:
    code, said = done
    assert code == 1 and words in said and "Traceback" not in said, said
    assert len(said.strip().splitlines()) == 1, said


def test_a_backup_of_the_running_stack_is_tried_elsewhere(drill: Drill) -> None:
    code, said = drill.backup("verify", drill.made)
    assert code == 0 and f"{len(drill.listed)} documents" in said, said
    assert "words and meaning" in said and "revoked keys stay so" in said
    refused(drill.backup("create", drill.made), "is there already")


def test_a_backup_that_is_killed_lets_go_of_what_it_held(drill: Drill) -> None:
    api, outside = drill.stack.api, drill.outside
    assert api.ingest({"text": "A drill is held.", "source": "drill.txt"})["state"] == "succeeded"
    tuesday = drill.folder / "tuesday"
    with outside.locked("approvals"):  # the backup waits for it, with its hold
        key = str(drill.folder / "backup-key")
        killed = outside.begin("scripts/backup.py", "create", str(tuesday), "--key-file", key)
        drill.stack.until(lambda: outside.count("holds") == 1, 300)
        killed.kill()
        killed.communicate(timeout=60)
    address = f"/v1/documents/{drill.documents()['drill.txt']}"
    assert api.delete(address).status_code in (202, 204)
    assert api.get(address).status_code == 404
    # The hold ends a minute after its backup, by itself, and the chunks go.
    left = "documents WHERE state = 'deleting'"
    drill.stack.until(lambda: outside.count(left) == 0, 600)
    assert outside.count("holds WHERE ends_at > clock_timestamp()") == 0
    code, said = drill.backup("create", tuesday)
    assert code == 0, said


def test_what_is_not_whole_or_has_no_room_is_refused(drill: Drill) -> None:
    flipped = drill.folder / "flipped"
    shutil.copytree(drill.made, flipped)
    data = bytearray((flipped / "points.age").read_bytes())
    data[len(data) // 2] ^= 1
    (flipped / "points.age").write_bytes(data)
    for command in ("verify", "restore"):
        refused(drill.backup(command, flipped), "was changed")
    # Words weighed in another language are another index, as another model's vectors are.
    other = {"RETRIEVER_LANGUAGE": "german"}
    refused(drill.backup("restore", drill.made, **other), "the embedding service now has")
    refused(drill.backup("restore", drill.made), "the database is")  # used, or not empty
    drill.stack.compose("stop", *_WRITERS, seconds=300)
    try:
        refused(drill.backup("restore", drill.made), "the database is not empty")
    finally:
        drill.stack.compose("start", *_WRITERS)
    drill.stack.until_ready()
    assert drill.search("lentil soup at noon") == ["canteen.txt"]


def test_a_stack_that_lost_both_stores_is_restored(drill: Drill) -> None:
    stack = drill.stack
    stack.compose("stop", *_WRITERS, *_STORES, seconds=300)
    emptied("state-data", "qdrant-data")
    stack.compose("start", *_STORES)

    def restored() -> bool:
        code, said = drill.backup("restore", drill.made)
        assert code == 0 or "not answer" in said or "PostgreSQL" in said, said
        return code == 0  # else a store is starting

    stack.until(restored, 300)
    refused(drill.backup("restore", drill.made), "not empty")
    stack.compose("start", *_WRITERS)
    stack.until_ready()
    assert drill.documents() == drill.listed
    assert stack.api.text(drill.listed["ports.md"]) == PORTS
    assert drill.search("lentil soup at noon") == ["canteen.txt"]
    assert (drill.status(drill.revoked), drill.status(drill.kept)) == (401, 200)
    assert stack.api.ingest({"text": "It goes on.", "source": "on.txt"})["state"] == "succeeded"


def test_all_is_embedded_anew_while_searches_and_uploads_go_on(drill: Drill) -> None:
    api, ended = drill.stack.api, threading.Event()
    before = drill.documents()
    done: list[tuple[int, str]] = []

    def embed() -> None:
        try:
            done.append(drill.outside.run("reindex"))
        finally:
            ended.set()

    work = threading.Thread(target=embed)
    work.start()
    n = 0
    while not ended.wait(0.2) or n == 0:
        assert drill.search("lentil soup at noon") == ["canteen.txt"]
        added = api.post(
            "/v1/documents", json={"documents": [{"text": f"New {n}.", "source": f"new-{n}"}]}
        )
        assert added.status_code == 202, added.text
        assert api.finished(added.json()["id"])["state"] == "succeeded"
        n += 1
    work.join()
    ((code, said),) = done
    assert code == 0 and "chunks are in chunks-r2 now" in said, said
    drill.stack.until_ready()
    assert drill.search("lentil soup at noon") == ["canteen.txt"]
    assert drill.documents().keys() == before.keys() | {f"new-{one}" for one in range(n)}
    api.ingest({"text": "A canary sings in the new place.", "source": "canary.txt"})
    assert drill.search("canary sings in the new place") == ["canary.txt"]
    code, said = drill.outside.run("reindex", "--remove-former")
    assert code == 0 and "removed: chunks" in said, said
    assert drill.search("lentil soup at noon") == ["canteen.txt"]
