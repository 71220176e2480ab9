"""Vectors straight from a backend, without an engine."""

from collections.abc import Sequence

from embedding.backend import Backend, Vectors
from embedding.tokens import Kind


def vectors_of(backend: Backend, texts: Sequence[str], kind: Kind = "document") -> Vectors:
    """What the backend makes of the texts in one batch."""
    return backend.encode(backend.tokenize(texts, kind), kind)
