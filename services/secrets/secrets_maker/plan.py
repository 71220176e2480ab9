"""Which secrets there are, and who reads each: the one list."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """A file in a service's volume; `template` is what stands in it around the secret."""

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
FILESYSTEM, DATABASE = 10006, 10007

READING_ROLES = (
    "harbour_reader",
    "harbour_pilotage",
    "harbour_customs",
    "harbour_ferries",
    "harbour_yard",
)
"""PostgreSQL's roles of the sample database: each file is named like the role that it lets in."""

PLAN = (
    Secret("api-key", (Copy("retriever", "api-key", RETRIEVER),), prefix="bh_"),
    Secret(
        "qdrant-api-key",
        (
            Copy("retriever", "qdrant-api-key", RETRIEVER),
            # Qdrant takes its key from its environment or its configuration; only one is a file.
            Copy("qdrant", "qdrant.yaml", QDRANT, "service:\n  api_key: {secret}\n"),
        ),
    ),
    Secret(
        "mcp-filesystem-signing-key",
        (
            Copy("retriever", "mcp-filesystem-signing-key", RETRIEVER),
            Copy("mcp-filesystem", "signing-key", FILESYSTEM),
        ),
    ),
    Secret(
        "mcp-database-signing-key",
        (
            Copy("retriever", "mcp-database-signing-key", RETRIEVER),
            Copy("mcp-database", "signing-key", DATABASE),
        ),
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
)
