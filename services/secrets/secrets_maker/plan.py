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


RETRIEVER, QDRANT = 10001, 1000

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
)
