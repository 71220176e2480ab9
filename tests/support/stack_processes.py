"""The embedded stack's parts as processes of their own, on free ports, for tests."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
from quick_model import quick_model
from rig import KEY
from serving import free_port

from bulkhead.settings import make_secret
from embedded.parts import Part, State, parts

READY_SECONDS = 250  # a busy machine is no finding


def state(folder: Path) -> State:
    """A state folder with the key of `rig` in it, and what the retriever reads as it starts."""
    kept = State(folder)
    kept.logs.mkdir(parents=True)
    kept.key.write_text(KEY + "\n")
    kept.key.chmod(0o600)
    kept.llm_key.write_text("the-model-server's-key\n")
    make_secret(kept.state_password, "the-retriever's-password")
    return kept


def environment(**told: str) -> dict[str, str]:
    """This process's, with a free port for each part, the quick model and these variables."""
    tool_servers = ("MCP_FILESYSTEM", "MCP_DATABASE", "MCP_DATABASE_POSTGRES")
    names = ("LLM", "EMBEDDING", "RETRIEVER", "QUALITY", "PROMETHEUS", *tool_servers)
    ports = {f"{name}_PORT": str(free_port()) for name in names}
    return {**os.environ, **ports, "LLM_MODEL_PATH": str(quick_model()), **told}


def planned(kept: State, **told: str) -> list[Part]:
    """The parts with these variables in their environment, without tool servers."""
    return parts(kept, environment(RETRIEVER_TOOL_SERVERS_FILE="/dev/null", **told))


@contextmanager
def running(kept: State, wanted: Sequence[Part]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The parts' processes by name, once all are ready; ended with the block.

    What only speaks another protocol than HTTP is waited for by who uses it.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for part in wanted:
            with (kept.logs / f"{part.name}.log").open("wb") as log:
                processes[part.name] = subprocess.Popen(
                    part.command, env=dict(part.environment), stdout=log, stderr=log
                )
        for part in (part for part in wanted if part.health):
            _await(part, processes, kept)
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(part: Part, processes: dict[str, subprocess.Popen[bytes]], kept: State) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        for name, process in processes.items():  # another one's end may be why it waits
            assert process.poll() is None, (kept.logs / f"{name}.log").read_text()
        assert time.monotonic() < deadline, f"{part.name} did not become ready"
        try:
            if httpx2.get(part.url + part.health, timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
