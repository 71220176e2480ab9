"""`make serve` backed up, lost, restored and embedded anew, by the commands as people run them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from rig import KEY, PORTS, SOUP, Api, Neighbour, tokenizer_json
from serving import free_port, until

from embedded.parts import ROOT, State
from embedding.backend import DummyBackend
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings

pytestmark = pytest.mark.timeout(1800)


class OtherBackend(DummyBackend):
    """Another model."""

    model_id = "other"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that leaves room for a Unix socket's, of 107 characters."""
    with tempfile.TemporaryDirectory(prefix="bh-") as folder:
        yield Path(folder)


@pytest.fixture
def other_embedding() -> Iterator[Neighbour]:
    backend = OtherBackend(tokenizer_json())
    neighbour = Neighbour(lambda: create_embedding(EmbeddingSettings(), backend))
    neighbour.start()
    yield neighbour
    neighbour.stop()


class Embedded:
    """A state folder, and the programs of this project over it."""

    def __init__(self, folder: Path, llm: Neighbour, embedding: Neighbour) -> None:
        self.kept = State(folder)
        folder.mkdir()
        self.kept.key.write_text(KEY + "\n")
        self.kept.key.chmod(0o600)
        (folder / "backup-key").write_text("a passphrase of a test")
        self._port, self._postgres = free_port(), free_port()
        self.environment = {
            **os.environ,
            "BULKHEAD_DATA": str(folder),
            "RETRIEVER_PORT": str(self._port),
            "MCP_DATABASE_POSTGRES_PORT": str(self._postgres),
            "RETRIEVER_TOOL_SERVERS_FILE": "/dev/null",
            "RETRIEVER_LLM_URL": f"{llm.url}/v1",
            "RETRIEVER_EMBEDDING_URL": embedding.url,
            "RETRIEVER_QUERY_EMBEDDING_TIMEOUT": "60",
        }

    @contextmanager
    def serving(self, **told: str) -> Iterator[Api]:
        """`make serve`, until Ctrl-C."""
        words = self.kept.folder / "serve.log"
        with words.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stack", "serve"],
                cwd=ROOT, env={**self.environment, **told}, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            until(lambda: "is up" in words.read_text() or process.poll() is not None, 300)
            assert process.poll() is None, words.read_text()
            headers = {"Authorization": f"Bearer {KEY}"}
            url = f"http://127.0.0.1:{self._port}"
            with Api(base_url=url, headers=headers, timeout=60) as api:
                yield api
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)

    def begin(self, program: str, *words: str, **told: str) -> "subprocess.Popen[str]":
        """One of the commands."""
        return subprocess.Popen(
            [sys.executable, f"scripts/{program}.py", *words],
            cwd=ROOT, env={**self.environment, **told}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, program: str, *words: str, **told: str) -> tuple[int, str]:
        """Its exit code, and all that it said."""
        process = self.begin(program, *words, **told)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def backup(self, command: str, folder: Path, **told: str) -> tuple[int, str]:
        key = str(self.kept.folder / "backup-key")
        return self.run("backup", command, str(folder), "--key-file", key, **told)

    @contextmanager
    def database(self) -> Iterator["psycopg.Connection[tuple[int]]"]:
        password = self.kept.state_password.read_text().strip()
        words = f"host=127.0.0.1 port={self._postgres} user=retriever dbname=retriever"
        with psycopg.connect(f"{words} password={password}", autocommit=True) as connection:
            yield connection

    def count(self, rows: str) -> int:
        with self.database() as connection:
            row = connection.execute(f"SELECT count(*) FROM {rows}".encode()).fetchone()
        assert row is not None
        return row[0]


def found(api: Api, query: str, mode: str) -> list[str]:
    reply = api.post("/v1/search", json={"query": query, "mode": mode, "top_k": 1})
    assert reply.status_code == 200, reply.text
    return [one["source"] for one in reply.json()["results"]]


def refused(done: tuple[int, str], words: str) -> None:
    code, said = done
    assert code == 1 and words in said and "Traceback" not in said, said
    assert len(said.strip().splitlines()) == 1, said


def test_a_stack_is_backed_up_while_it_serves_lost_restored_and_embedded_anew(
    short: Path,
    llm_server: Neighbour,
    embedding_server: Neighbour,
    other_embedding: Neighbour,
) -> None:
    first = Embedded(short / "first", llm_server, embedding_server)
    monday, tuesday = short / "monday", short / "tuesday"
    elsewhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    refused(first.run("reindex", RETRIEVER_DATABASE_URL=elsewhere), "does not answer")
    assert not first.kept.postgres.exists()  # another one was meant
    with first.serving() as api:
        api.ingest(
            {"text": PORTS, "title": "Ports", "source": "ports.md"},
            {"text": SOUP, "title": "Canteen", "source": "canteen.txt"},
        )
        there = {one["source"]: one["id"] for one in api.get("/v1/documents").json()["data"]}
        reader = {"tenant": "default", "role": "reader"}
        gone, stays = (api.post("/v1/keys", json=reader).json() for _ in range(2))
        api.delete(f"/v1/keys/{gone['id']}")

        code, said = first.backup("create", monday)
        assert code == 0 and "2 documents" in said, said
        refused(first.backup("create", monday), "is there already")
        code, said = first.backup("verify", monday)
        assert code == 0 and "2 documents" in said, said
        assert "words and meaning" in said and "1 revoked keys stay so" in said
        refused(first.backup("restore", monday), "already accessed")

        # A backup that is killed while it holds the chunks.
        with first.database() as held:
            held.execute("BEGIN")
            held.execute("LOCK TABLE approvals")
            key = str(first.kept.folder / "backup-key")
            killed = first.begin("backup", "create", str(tuesday), "--key-file", key)
            until(lambda: first.count("holds") == 1)
            killed.kill()
            killed.communicate(timeout=60)
            held.execute("ROLLBACK")
        address = f"/v1/documents/{there['canteen.txt']}"
        assert api.delete(address).status_code == 202
        assert api.get(address).status_code == 404
        assert first.count("documents WHERE state = 'deleting'") == 1
        with first.database() as connection:  # it ends by itself; nobody need wait here for that
            connection.execute("UPDATE holds SET ends_at = clock_timestamp()")
        until(lambda: first.count("documents WHERE state = 'deleting'") == 0, 300)
        assert not tuesday.exists()
        code, said = first.backup("create", tuesday)
        assert code == 0 and "1 documents" in said, said
        assert not tuesday.with_name("tuesday.partial").exists()

    second = Embedded(short / "second", llm_server, embedding_server)
    flipped = short / "flipped"
    shutil.copytree(monday, flipped)
    data = bytearray((flipped / "points.age").read_bytes())
    data[len(data) // 2] ^= 1
    (flipped / "points.age").write_bytes(data)
    refused(second.backup("verify", flipped), "was changed")
    refused(second.backup("restore", flipped), "was changed")
    other = {"RETRIEVER_EMBEDDING_URL": other_embedding.url}
    refused(second.backup("restore", monday, **other), "the embedding service now has other")
    (second.kept.folder / "backup-key").write_text("another passphrase of a test")
    refused(second.backup("restore", monday), "not its key")
    (second.kept.folder / "backup-key").write_text("a passphrase of a test")

    code, said = second.backup("restore", monday)
    assert code == 0 and "restored" in said, said
    refused(second.backup("restore", monday), "not empty")
    with second.serving() as api:
        restored = {one["source"]: one["id"] for one in api.get("/v1/documents").json()["data"]}
        assert restored == there
        assert api.text(there["ports.md"]) == PORTS
        assert found(api, "lentil soup", "hybrid") == ["canteen.txt"]
        for made, status in ((gone, 401), (stays, 200)):
            headers = {"Authorization": f"Bearer {made['key']}"}
            assert api.get("/v1/documents", headers=headers).status_code == status
        refused(second.run("reindex", **other), "already accessed")

    code, said = second.run("reindex", **other)
    assert code == 0 and "chunks are in chunks-r2 now" in said, said
    with second.serving(**other) as api:
        assert found(api, "lentil soup", "dense") == ["canteen.txt"]
        assert api.ingest({"text": "A canary sings.", "source": "new.txt"})["counts"]["added"] == 1
    code, said = second.run("reindex", "--remove-former", **other)
    assert code == 0 and "removed: chunks" in said, said
