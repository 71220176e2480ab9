"""The chart's values with what their file says of each: the comment right above it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from supply.finding import ROOT

CHART = ROOT / "deploy/helm/bulkhead"
VALUES = CHART / "values.yaml"


class Value(NamedTuple):
    """A value that can be set."""

    path: tuple[str, ...]
    default: Any
    comment: str


def values(file: Path = VALUES) -> list[Value]:
    """Every value, in order. A mapping is one value unless something in it has a comment.

    Raises `ValueError` for a value that nobody says a word of.
    """
    text = file.read_text(encoding="utf-8")
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(tree, yaml.MappingNode)
    found = list(_below(tree, (), yaml.safe_load(text), text.splitlines()))
    if silent := [".".join(one.path) for one in found if not one.comment]:
        raise ValueError(f"{file.name} says nothing of {', '.join(silent)}")
    return found


def _below(
    node: yaml.MappingNode, path: tuple[str, ...], loaded: Any, lines: list[str]
) -> Iterator[Value]:
    for key, value in node.value:
        below = (*path, key.value)
        inner = loaded[key.value]
        if isinstance(value, yaml.MappingNode) and _told(value, key.start_mark.line, lines):
            yield from _below(value, below, inner, lines)
        else:
            yield Value(below, inner, _comment(key.start_mark.line, lines))


def _told(node: yaml.MappingNode, line: int, lines: list[str]) -> bool:
    """Whether something in a mapping, which is named in this line, has a comment of its own."""
    return any(
        (key.start_mark.line > line and _comment(key.start_mark.line, lines))
        or (isinstance(value, yaml.MappingNode) and _told(value, key.start_mark.line, lines))
        for key, value in node.value
    )


def _comment(line: int, lines: list[str]) -> str:
    """The comment that ends right above a line, as one line."""
    words: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        words.insert(0, lines[line].strip()[2:])
    return " ".join(words)
