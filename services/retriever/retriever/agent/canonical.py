"""One spelling for JSON values, so that equal values have equal hashes."""

import hashlib
import json
from typing import Any, NoReturn


def canonical(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """The SHA-256 of the canonical JSON of `value`, hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def strict_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`. Raises `ValueError` for anything that readers could read in two
    ways: duplicate keys, NaN, a lone surrogate, text after the object, an unfinished one."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeError as error:
        raise ValueError("it holds half of a surrogate pair") from error
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has a key twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")
