"""The chart's own table of who may call whom."""

import re
from typing import NamedTuple

import yaml

from chart.values import CHART

TABLE = CHART / "templates/_edges.tpl"


class Edge(NamedTuple):
    """One component may call another at a port."""

    source: str
    goal: str
    port: int


def edges() -> tuple[Edge, ...]:
    """The table, in order; `plan` adds the lines that it has for each tool server of a fork."""
    lines = re.findall(
        r"^- (\{from: [a-z-]+, to: [a-z-]+, port: [0-9]+\})$",
        TABLE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = [yaml.safe_load(line) for line in lines]
    return tuple(Edge(one["from"], one["to"], one["port"]) for one in told)
