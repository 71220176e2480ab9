"""Tables of what a program's configuration may hold, and what a configuration has that they lack.

A table is YAML of the same form as the configuration. A leaf is the name of a kind below, or the
words that may stand there, `one | other`. A key with `!` has to be there; `otlp/...` stands for a
component `otlp` or `otlp/name`. A list in a table has one element, the form of each.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

KINDS = {
    "text": r".+",
    "duration": r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+",  # Go's
    "span": r"(\d+(ms|s|m|h|d|w|y))+",  # Prometheus'
    "address": r"[\w.-]+:\d+",
    "url": r"https?://[\w.$-]+(:\S+)?(/\S*)?",
    "flag": r"true|false",  # in the environment, where all is text
}


def mistakes(told: Any, shape: Any, at: str = "") -> Iterator[str]:
    """What `told` holds that `shape` does not allow, and what it lacks."""
    if shape == "any":
        return
    if isinstance(shape, Mapping):
        if not isinstance(told, Mapping):
            yield f"{at}: {told!r} is no mapping"
            return
        yield from _keys(told, shape, at)
    elif isinstance(shape, list):
        if not isinstance(told, list):
            yield f"{at}: {told!r} is no list"
            return
        for n, one in enumerate(told):
            yield from mistakes(one, shape[0], f"{at}[{n}]")
    elif not _is(told, shape):
        yield f"{at}: {told!r} is not of the kind: {shape}"


def _keys(told: Mapping[str, Any], shape: Mapping[str, Any], at: str) -> Iterator[str]:
    allowed = {key.rstrip("!"): form for key, form in shape.items()}
    for key, value in told.items():
        name = key if key in allowed else f"{key.partition('/')[0]}/..."
        if name in allowed:
            yield from mistakes(value, allowed[name], f"{at}.{key}")
        else:
            yield f"{at}.{key} is unknown"
    yield from (f"{at}.{key[:-1]} is missing" for key in shape if _lacks(told, key))


def _lacks(told: Mapping[str, Any], key: str) -> bool:
    return key.endswith("!") and key[:-1] not in told


def _is(told: Any, kind: str) -> bool:
    match kind:
        case "bool":
            return isinstance(told, bool)
        case "int":
            return isinstance(told, int) and not isinstance(told, bool) and told >= 0
        case "number":
            return isinstance(told, int | float) and not isinstance(told, bool)
        case "percent":
            return _is(told, "number") and 0 < told <= 100
        case "regex":
            return isinstance(told, str) and _is_regex(told)
    if kind in KINDS:
        return isinstance(told, str) and re.fullmatch(KINDS[kind], told, re.DOTALL) is not None
    return isinstance(told, str) and told in kind.split(" | ")


def _is_regex(pattern: str) -> bool:
    """Whether Go would compile it, as far as RE2 says that; Go's syntax is RE2's."""
    import re2

    try:
        re2.compile(pattern)
    except re2.error:
        return False
    return True
