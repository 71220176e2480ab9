"""PostgreSQL's plan without its estimates.

An estimate counts the rows of all tenants: `WHERE name = '…'` would tell whether another tenant
has such a row. What is left says how the query runs, which is what helps to write it better.
"""

from typing import Any

from pydantic import BaseModel, Field

_KEPT = {
    "Node Type": "step",
    "Join Type": "join",
    "Strategy": "strategy",
    "Relation Name": "table",
    "Alias": "alias",
    "Index Name": "index",
    "CTE Name": "with",
    "Function Name": "function",
    "Index Cond": "index_condition",
    "Hash Cond": "condition",
    "Merge Cond": "condition",
    "Join Filter": "join_filter",
    "Filter": "filter",
    "Sort Key": "sort",
    "Group Key": "group",
}


class Plan(BaseModel):
    """How PostgreSQL would run a query: steps, outermost first, each with those that feed it."""

    steps: list[dict[str, Any]] = Field(
        description="`depth` says how far inside a step is; the rest is what it does."
    )
    joins_without_condition: int = Field(
        description="Joins that pair every row with every row; usually a forgotten key."
    )


def summarise(explained: list[dict[str, Any]]) -> Plan:
    """The plan in the output of EXPLAIN (FORMAT JSON)."""
    steps: list[dict[str, Any]] = []
    _walk(explained[0]["Plan"], 0, steps)
    crossed = sum(
        one["step"] == "Nested Loop" and not {"join_filter", "condition"} & one.keys()
        and not _inner_uses_index(steps, place)
        for place, one in enumerate(steps)
    )  # fmt: skip
    return Plan(steps=steps, joins_without_condition=crossed)


def _walk(node: dict[str, Any], depth: int, steps: list[dict[str, Any]]) -> None:
    told = {name: node[key] for key, name in _KEPT.items() if key in node}
    steps.append({"depth": depth, **told})
    for child in node.get("Plans", []):
        _walk(child, depth + 1, steps)


def _inner_uses_index(steps: list[dict[str, Any]], place: int) -> bool:
    """Whether a step inside looks rows up by a key of the other side."""
    depth = steps[place]["depth"]
    for one in steps[place + 1 :]:
        if one["depth"] <= depth:
            break
        if "index_condition" in one:
            return True
    return False
