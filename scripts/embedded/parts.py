"""What runs: a process each for the model, the embeddings, the tool servers, the retriever."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import StackError

ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST_SOCKETS = 85  # bytes: with the socket's name, what every system allows


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
    def files(self) -> Path:
        """What the filesystem tool server serves."""
        return self.folder / "files"

    def signing_key(self, server: str) -> Path:
        """The key that signs the tokens of a tool server."""
        return self.folder / f"{server}-signing-key"

    def token(self, server: str) -> Path:
        """A token for people's own MCP clients, made anew at every start."""
        return self.folder / f"{server}-token"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data; its passwords lie beside it."""
        return self.folder / "postgres"

    @property
    def passwords(self) -> Path:
        """The passwords of PostgreSQL's roles."""
        return self.folder / "postgres-passwords"

    @property
    def sockets(self) -> Path:
        """Where the parser's Unix socket lies. Raises `StackError` where none can."""
        folder = self.folder / "parser"
        if len(os.fsencode(folder)) > _LONGEST_SOCKETS:
            raise StackError(
                f"{self.folder} is too long a path for a Unix socket: BULKHEAD_DATA can name"
                " another folder"
            )
        return folder

    @property
    def retriever(self) -> Path:
        """Documents, index and queue."""
        return self.folder / "retriever"


@dataclass(frozen=True)
class Part:
    """A process to run: its command, what it is told, and where it says that it is ready.

    A part that speaks no HTTP on a port has no `health`: the one that uses it says when it is
    there. One without a port has 0.
    """

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
    return f"http://127.0.0.1:{port_of(environment, 'RETRIEVER_PORT', 8080)}"


def tool_servers(kept: State, environment: Mapping[str, str] = os.environ) -> str:
    """The tool servers of this machine, as RETRIEVER_TOOL_SERVERS takes them."""
    ports = {
        "filesystem": port_of(environment, "MCP_FILESYSTEM_PORT", 8090),
        "database": port_of(environment, "MCP_DATABASE_PORT", 8091),
    }
    return json.dumps(
        {
            name: {
                "url": f"http://127.0.0.1:{port}/mcp",
                "signing_key_file": str(kept.signing_key(f"mcp-{name}")),
            }
            for name, port in ports.items()
        }
    )


def parts(kept: State, environment: Mapping[str, str] = os.environ) -> list[Part]:
    """The parts in the order in which they are named to people.

    Each inherits `environment`, so any setting of a service can be given to the command that
    starts the stack; only what ties the parts together is set here. A neighbour whose address is
    given, as RETRIEVER_LLM_URL, RETRIEVER_EMBEDDING_URL, RETRIEVER_PARSER_SOCKETS or
    RETRIEVER_TOOL_SERVERS, runs elsewhere and is not started.
    """
    llm = port_of(environment, "LLM_PORT", 8000)
    embedding = port_of(environment, "EMBEDDING_PORT", 8081)
    retriever = port_of(environment, "RETRIEVER_PORT", 8080)
    filesystem = port_of(environment, "MCP_FILESYSTEM_PORT", 8090)
    database = port_of(environment, "MCP_DATABASE_PORT", 8091)
    postgres = port_of(environment, "MCP_DATABASE_POSTGRES_PORT", 5433)
    ties = {
        "LLM_PORT": str(llm),
        "EMBEDDING_PORT": str(embedding),
        "RETRIEVER_PORT": str(retriever),
        "MCP_FILESYSTEM_PORT": str(filesystem),
        "MCP_DATABASE_PORT": str(database),
        "MCP_DATABASE_POSTGRES_PORT": str(postgres),
        "MCP_DATABASE_PASSWORD_DIR": str(kept.passwords),
        "MCP_DATABASE_SIGNING_KEY_FILE": str(kept.signing_key("mcp-database")),
        "MCP_FILESYSTEM_ROOT": str(kept.files),
        "MCP_FILESYSTEM_SIGNING_KEY_FILE": str(kept.signing_key("mcp-filesystem")),
        "PARSER_SOCKETS": str(kept.sockets),
        "RETRIEVER_DATA_DIR": str(kept.retriever),
        "RETRIEVER_API_KEY_FILE": str(kept.key),
        "PYTHONUNBUFFERED": "1",
    }
    addresses = {
        "RETRIEVER_LLM_URL": f"http://127.0.0.1:{llm}/v1",
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{embedding}",
        "RETRIEVER_PARSER_SOCKETS": str(kept.sockets),
        "RETRIEVER_TOOL_SERVERS": tool_servers(kept, environment),
    }
    told = {**addresses, **environment, **ties}

    def part(name: str, module: str, port: int, health: str) -> Part:
        return Part(name, (sys.executable, "-m", module), port, health, told)

    wanted = [part("retriever", "retriever", retriever, "/readyz")]
    if "RETRIEVER_PARSER_SOCKETS" not in environment:
        wanted.insert(0, part("parser", "parser", 0, ""))
    if "RETRIEVER_EMBEDDING_URL" not in environment:
        wanted.insert(0, part("embedding", "embedding", embedding, "/readyz"))
    if "RETRIEVER_TOOL_SERVERS" not in environment:
        module = "embedded.sample_database"
        command = (sys.executable, "-m", module, str(kept.postgres), "--port", str(postgres))
        wanted[:0] = [
            Part("postgres", command, postgres, "", told),
            part("mcp-filesystem", "mcp_filesystem", filesystem, "/healthz"),
            part("mcp-database", "mcp_database", database, "/readyz"),
        ]
    if "RETRIEVER_LLM_URL" not in environment:
        wanted.insert(0, part("llm", "llm_server", llm, "/health"))
    return wanted


def port_of(environment: Mapping[str, str], name: str, default: int) -> int:
    """The port that variable `name` tells. Raises `StackError` when it is none."""
    told = environment.get(name, str(default))
    if not (told.isdecimal() and 1 <= int(told) <= 65535):
        raise StackError(f"{name} is {told!r}; it must be a port, 1 to 65535")
    return int(told)
