"""Programs of this machine that reach into the stack's networks, as docs/backup.md tells people to.

The machine itself has no way there. A container of the worker's image waits on the worker's
networks, which lead to all three: database, Qdrant, embedding; programs run in its place on them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose_file import ROOT
from compose_stack import Stack

_SECRETS = {"database-password": "DATABASE_PASSWORD_FILE", "qdrant-api-key": "QDRANT_API_KEY_FILE"}
_SQL = """
import json, os, pathlib, sys, psycopg
password = pathlib.Path(os.environ["RETRIEVER_DATABASE_PASSWORD_FILE"]).read_text().strip()
url = os.environ["RETRIEVER_DATABASE_URL"]
with psycopg.connect(url, password=password, autocommit=True) as connection:
    for line in sys.stdin:
        done = connection.execute(line)
        print(json.dumps(done.fetchall() if done.description else None), flush=True)
"""


class Outside:
    """The settings of the stack's retriever, for programs of this machine."""

    def __init__(self, folder: Path, waiting: str) -> None:
        """`waiting`: the container."""
        self._folder, self._waiting = folder, waiting
        for name in _SECRETS:
            told = _docker("exec", waiting, "cat", f"/run/secrets/{name}")
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(told)

    def address(self, service: str) -> str:
        """Where a service is on the networks; a new container of it may be elsewhere."""
        return _docker("exec", self._waiting, "getent", "hosts", service).split()[0]

    def begin(self, *command: str, **told: str) -> "subprocess.Popen[str]":
        """Python with these arguments, on the networks."""
        pid = _docker("inspect", "--format={{.State.Pid}}", self._waiting).strip()
        files = {f"RETRIEVER_{name}": str(self._folder / file) for file, name in _SECRETS.items()}
        environment = {
            **os.environ,
            **files,
            "BULKHEAD_DATA": str(self._folder),
            "RETRIEVER_DATABASE_URL": f"postgresql://retriever@{self.address('state')}/retriever",
            "RETRIEVER_QDRANT_URL": f"http://{self.address('qdrant')}:6334",
            "RETRIEVER_EMBEDDING_URL": f"http://{self.address('embedding')}:8081",
            "RETRIEVER_QUERY_EMBEDDING_TIMEOUT": "60",
            **told,
        }
        return subprocess.Popen(
            ["nsenter", f"--target={pid}", "--net", "--", sys.executable, *command],
            cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, program: str, *words: str, **told: str) -> tuple[int, str]:
        """One of the commands under scripts: its exit code, and all that it said."""
        process = self.begin(f"scripts/{program}.py", *words, **told)
        said, _ = process.communicate(timeout=900)
        return process.returncode, said

    def count(self, rows: str) -> int:
        """How many rows there are of what follows FROM, for the retriever's role."""
        process = self.begin("-c", _SQL)
        said, _ = process.communicate(f"SELECT count(*) FROM {rows}\n", timeout=300)
        assert process.returncode == 0, said
        return int(json.loads(said)[0][0])

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody reads this table until the block ends."""
        process = self.begin("-c", _SQL)
        assert process.stdin is not None and process.stdout is not None
        try:
            for statement in ("BEGIN", f"LOCK TABLE {table}"):
                process.stdin.write(f"{statement}\n")
                process.stdin.flush()
                assert process.stdout.readline().strip() == "null"
            yield
        finally:
            process.kill()
            process.communicate(timeout=60)


@contextmanager
def outside(stack: Stack, folder: Path) -> Iterator[Outside]:
    """The container waits until the block ends."""
    command = ("run", "--detach", "--no-deps", "--entrypoint=sleep", "ingest", "infinity")
    waiting = stack.compose(*command, seconds=300).strip().splitlines()[-1]
    try:
        yield Outside(folder, waiting)
    finally:
        _docker("rm", "--force", waiting)


def _docker(*command: str) -> str:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
