"""What a server sent as vectors and scores, in order, whole and sound."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retriever.clients.embedders import Matrix

_UNIT = 1e-5


class Unusable(ValueError):
    """A text's vector has no direction: numbers that are none, or only zeros."""


def by_index(items: Any, count: int, value: str) -> list[Any]:
    """The `value` of each of `count` items, by their `index`. Raises `ValueError`."""
    if not isinstance(items, list) or len(items) != count:
        given = len(items) if isinstance(items, list) else 0
        raise ValueError(f"{given} rows for {count} texts")
    placed: dict[int, Any] = {}
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("index"), int):
            raise ValueError("a row without index")
        placed[item["index"]] = item.get(value)
    if placed.keys() != set(range(count)):
        raise ValueError(f"rows that are not 0 to {count - 1}")
    return [placed[place] for place in range(count)]


def scores(items: Any, count: int, value: str) -> list[float]:
    """As `by_index`, of numbers."""
    found = by_index(items, count, value)
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one):
            raise ValueError("a score that is no number")
    return [float(one) for one in found]


def matrix(rows: Any, count: int, dimension: int | None = None) -> Matrix:
    """Vectors, as lists of numbers or as base64 of little-endian float32, each of unit length.

    Raises `ValueError`, and `Unusable` for a vector without a direction.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str) or len(rows) != count:
        given = len(rows) if isinstance(rows, Sequence) and not isinstance(rows, str) else 0
        raise ValueError(f"{given} vectors for {count} texts")
    read = [_vector(row) for row in rows]
    lengths = {len(row) for row in read}
    if len(lengths) > 1:
        raise ValueError(f"vectors of several lengths: {sorted(lengths)}")
    if dimension is not None and lengths - {dimension}:
        raise ValueError(f"vectors of {lengths.pop()} numbers, where there were {dimension}")
    found = np.stack(read)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise Unusable("a vector of zeros, or of what is no number")
    norms[np.abs(norms - 1) < _UNIT] = 1  # what is of unit length stays as it came
    sound: Matrix = (found / norms).astype(np.float32)
    return sound


def _vector(row: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if isinstance(row, str):
        try:
            decoded = base64.b64decode(row, validate=True)
            vector = np.frombuffer(decoded, dtype="<f4").astype(np.float64)
        except (binascii.Error, ValueError) as error:
            raise ValueError("a vector in broken base64") from error
    else:
        try:
            # null is how servers write NaN in JSON
            vector = np.array([np.nan if one is None else one for one in row], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError("a vector that is no list of numbers") from error
    if not vector.size or vector.ndim != 1:
        raise ValueError("an empty vector")
    return vector
