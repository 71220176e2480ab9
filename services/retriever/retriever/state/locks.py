"""Locks among processes: PostgreSQL's advisory ones, by number, each its transaction's own.

So a process that dies holds none, and nothing of a session is needed: a pooler may hand each
transaction another one.
"""

import hashlib

MIGRATION = 0x42554C4B0001
"""Held while the schema is brought up."""
CHANGES = 0x42554C4B0002
"""Shared by whoever makes documents live or hides them; alone for a search that must see none."""


def of_source(tenant: str, source: str) -> int:
    """The number of a source's lock: whoever changes documents of it holds it."""
    name = f"{tenant}\0{source}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)
