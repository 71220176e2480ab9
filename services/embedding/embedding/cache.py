"""Vectors that were computed before."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from embedding.backend import Backend
from embedding.queue import Row
from embedding.tokens import Kind


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's unit vector and its tokens, before any cut."""

    vector: Row
    tokens: int


class VectorCache:
    """The vectors that were asked for last, by model, revision, kind and text.

    Bounded by number: each takes four bytes a dimension and about 300 more.
    """

    def __init__(self, backend: Backend, most: int) -> None:
        """`most` vectors are kept; 0 keeps none."""
        self._most = most
        self._model = f"{backend.model_id}\0{backend.revision}\0"
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, text: str, kind: Kind) -> bytes:
        """What a text is kept under; a digest, so that a long text costs no more than a short."""
        content = f"{self._model}{kind}\0{text}".encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=16).digest()

    def get(self, key: bytes) -> Embedded | None:
        """What is kept under the key, which then is the last to be forgotten."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, embedded: Embedded) -> None:
        """Keep a vector, and forget the one that was not asked for the longest."""
        self._kept[key] = Embedded(embedded.vector.copy(), embedded.tokens)  # no view of a batch
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
