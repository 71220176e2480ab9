"""What runs: a process each for the model, the embeddings, the tool servers, the retriever."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bulkhead.profiles import runs
from bulkhead.proxies import spare
from bulkhead.settings import read_secret
from embedded.address import LOOPBACK, Address, address_of
from embedded.errors import StackError
from embedded.tool_list import own_servers

ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST_SOCKETS = 85  # bytes: with the socket's name, what every system allows

LLM_KEY = "LLM_API_KEY_FILE"
# The catalogue of the fetcher knows it (services/fetcher); compose.yaml has the same.
MODEL = "qwen2.5-coder-0.5b-instruct"


@dataclass(frozen=True)
class State:
    """The folder that holds everything the stack keeps."""

    folder: Path

    @property
    def key(self) -> Path:
        """The admin's API key."""
        return self.folder / "api-key"

    @property
    def llm_key(self) -> Path:
        """The key that the model server asks for."""
        return self.folder / "llm-key"

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
    def tool_servers(self) -> Path:
        """The list of tool servers, with the addresses of this start."""
        return self.folder / "tool-servers.yaml"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data; its passwords lie beside it."""
        return self.folder / "postgres"

    @property
    def passwords(self) -> Path:
        """The passwords of PostgreSQL's roles."""
        return self.folder / "postgres-passwords"

    @property
    def state_password(self) -> Path:
        """The password of the retriever's role in PostgreSQL."""
        return self.passwords / "retriever"

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
    address: Address
    health: str
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where its neighbours reach it."""
        return self.address.url

    def headers(self) -> dict[str, str]:
        """What `/metrics` wants to hear; the model server asks for its key there too."""
        if self.name != "llm":
            return {}
        return {"authorization": f"Bearer {read_secret(Path(self.environment[LLM_KEY]))}"}


def state(environment: Mapping[str, str] = os.environ) -> State:
    """The state folder: .data, or where BULKHEAD_DATA says (relative to the repository)."""
    return State(ROOT / environment.get("BULKHEAD_DATA", ".data"))


def models(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of models: .models, or where BULKHEAD_MODELS says. No clean-up removes it."""
    return ROOT / environment.get("BULKHEAD_MODELS", ".models")


def retriever_url(environment: Mapping[str, str] = os.environ) -> str:
    """Where the retriever is reached, by RETRIEVER_HOST and RETRIEVER_PORT."""
    return address_of(environment, "RETRIEVER", 8080).url


def parts(kept: State, environment: Mapping[str, str] = os.environ) -> list[Part]:
    """The parts in the order in which they are named to people.

    Each inherits `environment`, so any setting of a service can be given to the command that
    starts the stack; only what ties the parts together is set here. A neighbour whose address is
    given, as RETRIEVER_LLM_URL, RETRIEVER_EMBEDDING_URL, RETRIEVER_PARSER_SOCKETS,
    RETRIEVER_TOOL_SERVERS_FILE or RETRIEVER_DATABASE_URL, runs elsewhere and is not started; nor
    are the tool servers where BULKHEAD_PROFILES is set and has no `tools`.
    """
    llm = address_of(environment, "LLM", 8000)
    embedding = address_of(environment, "EMBEDDING", 8081)
    retriever = address_of(environment, "RETRIEVER", 8080)
    own = own_servers(environment)
    postgres = Address(LOOPBACK, address_of(environment, "MCP_DATABASE_POSTGRES", 5433).port)
    ties = {
        "LLM_PORT": str(llm.port),
        "EMBEDDING_PORT": str(embedding.port),
        "RETRIEVER_PORT": str(retriever.port),
        "MCP_DATABASE_POSTGRES_PORT": str(postgres.port),
        "MCP_DATABASE_PASSWORD_DIR": str(kept.passwords),
        "MCP_FILESYSTEM_ROOT": str(kept.files),
        "PARSER_SOCKETS": str(kept.sockets),
        "RETRIEVER_DATA_DIR": str(kept.retriever),
        "RETRIEVER_API_KEY_FILE": str(kept.key),
        "PYTHONUNBUFFERED": "1",
    }
    for server in own:
        ties[f"{server.prefix}_PORT"] = str(server.address.port)
        ties[f"{server.prefix}_SIGNING_KEY_FILE"] = str(kept.signing_key(server.part))
    fetched = {
        "LLM_MODEL_PATH": str(models(environment) / "llm"),
        "LLM_ALIAS": environment.get("LLM_MODEL") or MODEL,
    }
    addresses = {
        "RETRIEVER_LLM_URL": f"{llm.url}/v1",
        "RETRIEVER_EMBEDDING_URL": embedding.url,
        "RETRIEVER_PARSER_SOCKETS": str(kept.sockets),
        "RETRIEVER_TOOL_SERVERS_FILE": str(kept.tool_servers),
    }
    if "RETRIEVER_DATABASE_URL" not in environment:
        addresses |= {
            "RETRIEVER_DATABASE_URL": f"postgresql://retriever@127.0.0.1:{postgres.port}/retriever",
            "RETRIEVER_DATABASE_PASSWORD_FILE": str(kept.state_password),
        }
    own_model = bool(environment.get("LLM_MODEL_PATH"))
    told = {**addresses, **({} if own_model else fetched), **environment, **ties}
    if "RETRIEVER_LLM_URL" not in environment:
        key = environment.get(LLM_KEY) or str(kept.llm_key)
        told |= {LLM_KEY: key, "RETRIEVER_LLM_API_KEY_FILE": key}
    spare(told, *(one.host for one in (llm, embedding, retriever, *(one.address for one in own))))

    def part(name: str, module: str, address: Address, health: str) -> Part:
        return Part(name, (sys.executable, "-m", module), address, health, told)

    wanted = [part("retriever", "retriever", retriever, "/readyz")]
    if "RETRIEVER_PARSER_SOCKETS" not in environment:
        wanted.insert(0, part("parser", "parser", Address(LOOPBACK, 0), ""))
    if "RETRIEVER_EMBEDDING_URL" not in environment:
        wanted.insert(0, part("embedding", "embedding", embedding, "/readyz"))
    tools = "RETRIEVER_TOOL_SERVERS_FILE" not in environment and runs("tools", environment)
    if tools:
        # Whether they can serve is what the retriever waits for.
        wanted[:0] = [part(one.part, one.module, one.address, "/healthz") for one in own]
    if tools or "RETRIEVER_DATABASE_URL" not in environment:
        module = "embedded.sample_database"
        command = (sys.executable, "-m", module, str(kept.postgres), "--port", str(postgres.port))
        wanted.insert(0, Part("postgres", command, postgres, "", told))
    if "RETRIEVER_LLM_URL" not in environment:
        wanted.insert(0, part("llm", "llm_server", llm, "/health"))
    return wanted
