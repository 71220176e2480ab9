"""What is opened before the event loop turns: secrets, audit log, Qdrant, tool servers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bulkhead.audit import AuditLog
from bulkhead.instance import instance_id
from bulkhead.settings import read_secret
from retriever.agent.policy import PACKAGED, Policy
from retriever.branding.branding import Branding
from retriever.clients.mcp import McpServer
from retriever.database import Database, database_url
from retriever.index.connect import Connection, connect
from retriever.index.reaching import disk_fault
from retriever.ingest.chunkers import check_chunker
from retriever.servers import certificates, key_in, qdrant_server
from retriever.settings import RetrieverSettings
from retriever.tool_servers import read_tool_servers
from retriever.windows import Valkey, Windows

_MOST_MCP_BYTES = 4 * 2**20  # of one HTTP response; the policy bounds results far below


@dataclass(frozen=True)
class Neighbours:
    """What can be opened before the event loop turns, so that a mistake is one line at start."""

    key: str
    """The operator's."""
    prober_key: str
    audit: AuditLog
    database: Database
    llm_keys: tuple[str, ...]
    """Of each model server, in order."""
    embedding_key: str
    """Empty where the server asks for none; and so the next."""
    reranker_key: str
    quality_token: str
    qdrant: Connection
    windows: Windows
    policy: Policy
    branding: Branding
    tool_servers: tuple[McpServer, ...]
    secrets: tuple[str, ...]
    """What no tool may be told and no result may bring."""

    @classmethod
    def connect(cls, settings: RetrieverSettings) -> "Neighbours":
        """Read the secrets and open Qdrant. Raises `ValueError` or `RuntimeError`, in words."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        key = read_secret(settings.api_key_file)
        branding = Branding.load(settings.branding_dir)
        check_chunker(settings.chunker)
        policy = Policy.load(settings.tool_policy_file or PACKAGED)
        tool_servers = tuple(
            McpServer(entry, _MOST_MCP_BYTES)
            for entry in read_tool_servers(settings.tool_servers_file)
        )
        llm_keys = tuple(key_in(one.api_key_file) or "none" for one in settings.model_servers())
        embedding_key = key_in(settings.embedding_api_key_file)
        reranker_key = (
            key_in(settings.reranker_api_key_file) if settings.reranker_url else embedding_key
        )
        prober_key = read_secret(settings.prober_key_file) if settings.prober_key_file else ""
        quality_token = read_secret(settings.quality_token_file) if settings.quality_url else ""
        server = qdrant_server(settings)
        valkey = _valkey(settings)
        url = database_url(settings.database_url, settings.database_password_file)
        secrets = (
            key,
            *llm_keys,
            embedding_key,
            reranker_key,
            prober_key,
            quality_token,
            url.password or "",
            (server and server.api_key) or "",
            (valkey and valkey.password) or "",
            *(one.secret for one in tool_servers),
        )
        with ExitStack() as opened, _of_the_disk():
            audit = AuditLog.of_folder(settings.data_dir, instance_id())
            opened.callback(audit.close)
            qdrant = connect(server, settings.data_dir / "qdrant")
            opened.pop_all()  # from here on they are the stack's to close
        return cls(
            key,
            prober_key,
            audit,
            Database(url),
            llm_keys,
            embedding_key,
            reranker_key,
            quality_token,
            qdrant,
            Windows(settings.replicas, valkey),
            policy,
            branding,
            tool_servers,
            secrets,
        )


@contextmanager
def _of_the_disk() -> Iterator[None]:
    """What the data folder's disk does not allow, in words."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        told = disk_fault(reason, "the data folder's disk")
        raise RuntimeError(told or f"the data folder cannot be used ({reason})") from error


def _valkey(settings: RetrieverSettings) -> Valkey | None:
    """Where the limits of the fleet are counted, if anywhere; raises `ValueError`."""
    if settings.valkey_url is None:
        return None
    file = settings.valkey_password_file
    if settings.valkey_ca_file:
        certificates(settings.valkey_ca_file)
    return Valkey(settings.valkey_url, key_in(file), settings.valkey_ca_file)
