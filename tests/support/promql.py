"""What the panels and the recording rules ask of Prometheus."""

import re

import pytest
from prometheus_rules import rules

from monitoring.boards import BOARDS

_PROMQL = """sum by rate increase histogram_quantile on and or unless bool group_left ignoring
without vector label_replace max min count sqrt avg_over_time min_over_time last_over_time"""


def metrics(expr: str) -> set[str]:
    """The metrics that an expression names; of a pattern of names, one example."""
    names = set()
    for pattern in re.findall(r'\{__name__=~"([^"]*)"', expr):
        names.add(re.sub(r"\(([^|()]*)[^()]*\)\??", r"\1", pattern))
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", "", bare)
    return names | (set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - set(_PROMQL.split()))


def concrete(expr: str) -> str:
    """A panel's expression as Grafana would send it."""
    expr = expr.replace("$__rate_interval", "1m").replace("$__range", "5m")
    return re.sub(r"\$\w+", ".*", expr)


PANELS = [
    pytest.param(concrete(expr), legend, id=f"{board.uid}: {panel.title}: {legend}")
    for board in BOARDS
    for panel in board.panels()
    for legend, expr in panel.queries.items()
]
RECORDED = [
    pytest.param(rule["expr"], "", id=f"{rule['record']} {rule.get('labels', {})}")
    for rule in rules()
    if "record" in rule
]
