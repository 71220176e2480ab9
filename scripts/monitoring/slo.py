"""Service-level objectives, and the rules that say how fast their error budgets burn.

The windows are those of Google's SRE workbook for 30 days: a page when 2% of the budget goes in
an hour or 5% in six, a ticket when 10% go in a day or in three. The short window of each pair
ends the alert soon after the cause has ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import Any

PERIOD = "30d"


@dataclass(frozen=True)
class Objective:
    """What share of the events of 30 days must be good.

    `total` and `bad` are PromQL for the number of events in the range `$w`. No alert is given for
    fewer than `least` events in the long window of a pair.
    """

    name: str
    says: str
    share: float
    total: str
    bad: str
    least: int

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.share, 6)

    @property
    def alert(self) -> str:
        """The stem of its alerts' names."""
        return "".join(word.capitalize() for word in self.name.split("-")) + "Burn"


@dataclass(frozen=True)
class Pair:
    """A long and a short window in which the budget burns `factor` times as fast as it may."""

    long: str
    short: str
    factor: float
    severity: str


PAIRS = (
    Pair("1h", "5m", 14.4, "page"),
    Pair("6h", "30m", 6, "page"),
    Pair("1d", "2h", 3, "ticket"),
    Pair("3d", "6h", 1, "ticket"),
)

_USER = 'rag_traffic="user"'
_SUPPORT = f'gen_ai_evaluation_name="support",rag_evaluator="lexical-v2",{_USER}'
_LABEL = "gen_ai_evaluation_score_label"
_FIRST = "rag_answer_time_to_first_token_seconds"
_FIRST_SECONDS = "2.56"  # a boundary of the histogram, so nothing is interpolated

OBJECTIVES = (
    Objective(
        "availability",
        "Questions of users end in an answer or an abstention, and not in an error.",
        0.99,
        f"sum(increase(rag_answers_total{{{_USER}}}[$w]))",
        f'sum(increase(rag_answers_total{{rag_outcome="error",{_USER}}}[$w]))',
        20,
    ),
    Objective(
        "first-token",
        f"The first word of an answer to a user is there within {_FIRST_SECONDS} seconds.",
        0.95,
        f"sum(increase({_FIRST}_count{{{_USER}}}[$w]))",
        f"(sum(increase({_FIRST}_count{{{_USER}}}[$w]))"
        f' - sum(increase({_FIRST}_bucket{{le="{_FIRST_SECONDS}",{_USER}}}[$w])))',
        20,
    ),
    Objective(
        "canary-hit",
        "A labelled question finds its passage among the first five.",
        0.90,
        'sum(increase(rag_retrieval_canary_total{rag_result=~"hit|miss"}[$w]))',
        'sum(increase(rag_retrieval_canary_total{rag_result="miss"}[$w]))',
        20,
    ),
    Objective(
        "supported",
        "An answer to a user is borne out by its sources, as far as the lexical check can see.",
        0.80,
        f'sum(increase(rag_evaluations_total{{{_LABEL}=~"supported|unsupported",{_SUPPORT}}}[$w]))',
        f'sum(increase(rag_evaluations_total{{{_LABEL}="unsupported",{_SUPPORT}}}[$w]))',
        100,
    ),
)


def thresholds(objective: Objective) -> list[tuple[Pair, float]]:
    """The pairs of windows that can fire, with the share of bad events above which they do.

    A generous budget times a large factor is more than all events: no rule is made of that.
    """
    found = [(pair, round(pair.factor * objective.budget, 6)) for pair in PAIRS]
    return [(pair, threshold) for pair, threshold in found if threshold < 1]


def rules() -> dict[str, Any]:
    """The rule file."""
    groups: list[dict[str, Any]] = [
        _group("slo-short", "30s", ("5m", "30m", "1h", "2h", "6h")),
        _group("slo-long", "2m", ("1d", "3d", PERIOD)),  # dear to read, and slow to change
    ]
    groups[0]["rules"] += [
        {
            "record": "slo:objective:ratio",
            "expr": f"vector({objective.share})",
            "labels": {"slo": objective.name},
        }
        for objective in OBJECTIVES
    ]
    alerts = [rule for objective in OBJECTIVES for rule in _alerts(objective)]
    return {"groups": [*groups, {"name": "slo-alerts", "rules": alerts}]}


def _group(name: str, interval: str, windows: tuple[str, ...]) -> dict[str, Any]:
    rules = [rule for objective in OBJECTIVES for w in windows for rule in _window(objective, w)]
    return {"name": name, "interval": interval, "rules": rules}


def _window(objective: Objective, window: str) -> Iterator[dict[str, Any]]:
    """How many events a window holds, and what share of them is bad.

    A series that was never counted is no bad event; without any event there is no share.
    """
    total = Template(objective.total).substitute(w=window)
    bad = Template(objective.bad).substitute(w=window)
    labels = {"slo": objective.name}
    yield {"record": f"slo:events:increase{window}", "expr": total, "labels": labels}
    yield {
        "record": f"slo:error_ratio:rate{window}",
        "expr": f"({bad} or vector(0)) / ({total} > 0)",
        "labels": labels,
    }


def _alerts(objective: Objective) -> Iterator[dict[str, Any]]:
    selector = f'{{slo="{objective.name}"}}'
    for severity in ("page", "ticket"):
        conditions = [
            f"slo:error_ratio:rate{pair.short}{selector} > {threshold:g}"
            f" and slo:error_ratio:rate{pair.long}{selector} > {threshold:g}"
            f" and slo:events:increase{pair.long}{selector} >= {objective.least}"
            for pair, threshold in thresholds(objective)
            if pair.severity == severity
        ]
        if not conditions:
            continue
        speed = "Fast" if severity == "page" else "Slow"
        yield {
            "alert": objective.alert + speed,
            "expr": "\nor\n".join(conditions),
            "labels": {"severity": severity, "slo": objective.name},
            "annotations": {
                "summary": f"The error budget of {objective.name} burns too fast."
                if severity == "page"
                else f"The error budget of {objective.name} will not last its 30 days.",
                "description": f"{objective.says} The objective is {objective.share:.0%};"
                " {{ $value | humanizePercentage }} of the last events were bad.",
                "runbook": f"docs/alerts.md#{objective.alert.lower()}",
            },
        }
