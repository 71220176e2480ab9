"""Which secrets there are, and who reads each: the one list."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """A file in a service's volume; `template` is what stands in it around the secret.

    `{all[name]}` in it is another secret, by its name.
    """

    service: str
    file: str
    uid: int
    template: str = "{secret}\n"


@dataclass(frozen=True)
class Secret:
    """256 random bits, and the files that hold them."""

    name: str
    copies: tuple[Copy, ...]
    prefix: str = ""


RETRIEVER, QDRANT, POSTGRES = 10001, 1000, 999
DATABASE = 10007
TOOL_SERVERS = {
    "mcp-filesystem": 10006,
    "mcp-database": DATABASE,
}
"""The user of each tool server: it shares a signing key with the retriever."""
QUALITY, PROMETHEUS, GRAFANA, EXAMPLES = 10008, 65534, 472, 10011
VALKEY, BULK = 10013, 10015

VALKEY_CONFIGURATION = """\
requirepass {secret}
bind * -::*
dir /tmp
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
maxclients 1000
timeout 300
"""
"""It keeps nothing on disk; with its memory full it counts no more, and that is no open door."""

READING_ROLES = (
    "harbour_reader",
    "harbour_pilotage",
    "harbour_customs",
    "harbour_ferries",
    "harbour_yard",
)
"""PostgreSQL's roles of the sample database: each file is named like the role that it lets in."""

PLAN = (
    Secret(
        "api-key",
        # The operator's sees whether anybody was here before, and the examples end after that.
        (Copy("retriever", "api-key", RETRIEVER), Copy("examples", "api-key", EXAMPLES)),
        prefix="bh_",
    ),
    Secret(
        "state-password",
        (
            Copy("state", "password", POSTGRES),
            Copy("retriever", "database-password", RETRIEVER),
            Copy("ingest", "database-password", RETRIEVER),
            Copy("bulk", "database-password", BULK),
        ),
    ),
    Secret(
        "qdrant-api-key",
        (
            Copy("retriever", "qdrant-api-key", RETRIEVER),
            Copy("ingest", "qdrant-api-key", RETRIEVER),
            Copy("bulk", "qdrant-api-key", BULK),
            # Qdrant takes its keys from its environment or its configuration; only one is a file.
            Copy(
                "qdrant",
                "qdrant.yaml",
                QDRANT,
                "service:\n  api_key: {secret}\n  read_only_api_key: {all[qdrant-read-only-key]}\n",
            ),
        ),
    ),
    *(
        Secret(
            f"{server}-signing-key",
            (
                Copy("retriever", f"{server}-signing-key", RETRIEVER),
                Copy(server, "signing-key", user),
            ),
        )
        for server, user in TOOL_SERVERS.items()
    ),
    Secret(
        "postgres",
        (Copy("postgres", "postgres", POSTGRES), Copy("sample-database", "postgres", DATABASE)),
    ),
    *(
        Secret(
            role, (Copy("mcp-database", role, DATABASE), Copy("sample-database", role, DATABASE))
        )
        for role in READING_ROLES
    ),
    # Prometheus reads metrics with it, and could read vectors, but write nothing.
    Secret("qdrant-read-only-key", (Copy("prometheus", "qdrant-read-only-key", PROMETHEUS),)),
    Secret(
        "prober-key",
        (Copy("retriever", "prober-key", RETRIEVER), Copy("quality", "prober-key", QUALITY)),
        prefix="bh_",
    ),
    Secret(
        "quality-token",
        (Copy("retriever", "quality-token", RETRIEVER), Copy("quality", "token", QUALITY)),
    ),
    Secret(
        "valkey-password",
        (
            Copy("retriever", "valkey-password", RETRIEVER),
            Copy("valkey", "valkey.conf", VALKEY, VALKEY_CONFIGURATION),
        ),
    ),
    Secret("grafana-admin-password", (Copy("grafana", "admin-password", GRAFANA),)),
)
