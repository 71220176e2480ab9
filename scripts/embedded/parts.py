"""What runs: a process each for the model, the embeddings and the retriever."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import StackError

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class State:
    """The folder that holds everything the stack keeps."""

    folder: Path

    @property
    def key(self) -> Path:
        """The admin's API key."""
        return self.folder / "api-key"

    @property
    def logs(self) -> Path:
        """A file of output for each part."""
        return self.folder / "logs"

    @property
    def retriever(self) -> Path:
        """Documents, index and queue."""
        return self.folder / "retriever"


@dataclass(frozen=True)
class Part:
    """A process to run: its command, what it is told, and where it says that it is ready."""

    name: str
    command: tuple[str, ...]
    port: int
    health: str
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """The part's address on loopback."""
        return f"http://127.0.0.1:{self.port}"


def state(environment: Mapping[str, str] = os.environ) -> State:
    """The state folder: .data, or where BULKHEAD_DATA says (relative to the repository)."""
    return State(ROOT / environment.get("BULKHEAD_DATA", ".data"))


def retriever_url(environment: Mapping[str, str] = os.environ) -> str:
    """Where the retriever listens, by RETRIEVER_PORT."""
    return f"http://127.0.0.1:{_port(environment, 'RETRIEVER_PORT', 8080)}"


def parts(kept: State, environment: Mapping[str, str] = os.environ) -> list[Part]:
    """The parts in the order in which they are named to people.

    Each inherits `environment`, so any setting of a service can be given to the command that
    starts the stack; only what ties the parts together is set here. A neighbour whose address is
    given, as RETRIEVER_LLM_URL or RETRIEVER_EMBEDDING_URL, runs elsewhere and is not started.
    """
    llm = _port(environment, "LLM_PORT", 8000)
    embedding = _port(environment, "EMBEDDING_PORT", 8081)
    retriever = _port(environment, "RETRIEVER_PORT", 8080)
    ties = {
        "LLM_PORT": str(llm),
        "EMBEDDING_PORT": str(embedding),
        "RETRIEVER_PORT": str(retriever),
        "RETRIEVER_DATA_DIR": str(kept.retriever),
        "RETRIEVER_API_KEY_FILE": str(kept.key),
        "PYTHONUNBUFFERED": "1",
    }
    addresses = {
        "RETRIEVER_LLM_URL": f"http://127.0.0.1:{llm}/v1",
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{embedding}",
    }
    told = {**addresses, **environment, **ties}

    def part(name: str, module: str, port: int, health: str) -> Part:
        return Part(name, (sys.executable, "-m", module), port, health, told)

    wanted = [part("retriever", "retriever", retriever, "/readyz")]
    if "RETRIEVER_EMBEDDING_URL" not in environment:
        wanted.insert(0, part("embedding", "embedding", embedding, "/readyz"))
    if "RETRIEVER_LLM_URL" not in environment:
        wanted.insert(0, part("llm", "llm_server", llm, "/health"))
    return wanted


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    told = environment.get(name, str(default))
    if not (told.isdecimal() and 1 <= int(told) <= 65535):
        raise StackError(f"{name} is {told!r}; it must be a port, 1 to 65535")
    return int(told)
