"""Panels and dashboards, in the shape that all of ours share.

A panel has a unit and one sentence that says what it shows. Its graph is a rate over the shown
interval, never an average since the process began.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import GraphGradientMode, StackingMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = "bulkhead-prometheus"
TEMPO = "bulkhead-tempo"

Kind = Literal["lines", "stacked", "number", "bars", "heatmap"]


@dataclass(frozen=True)
class Panel:
    """A graph or a number: `queries` by legend, where `{{label}}` stands for a label's value."""

    title: str
    says: str
    unit: str
    queries: dict[str, str]
    kind: Kind = "lines"
    width: int = 12
    exemplars: bool = False
    """Show single requests as dots that lead to their traces; for histograms of our own."""


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values of `label` in the series `metric`."""

    name: str
    says: str
    metric: str
    label: str


@dataclass(frozen=True)
class Board:
    """A dashboard: rows of panels under titles."""

    uid: str
    title: str
    says: str
    rows: dict[str, Sequence[Panel]]
    variables: Sequence[Variable] = field(default=())

    def panels(self) -> list[Panel]:
        """All panels, in order."""
        return [panel for row in self.rows.values() for panel in row]

    def model(self) -> dict[str, Any]:
        """Grafana's JSON."""
        builder = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.says)
            .tags(["bulkhead"])
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .readonly()
            .link(
                dashboard.DashboardLink("Bulkhead")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags(["bulkhead"])
                .as_dropdown(True)
                .keep_time(True)
            )
            .link(
                dashboard.DashboardLink("Traces")
                .type(models.DashboardLinkType.LINK)
                .icon("external link")
                .tooltip("The slowest questions' traces")
                .url(_traces('{ name = "POST /v1/chat/completions" && duration > 1s }'))
            )
        )
        for variable in self.variables:
            builder = builder.with_variable(_variable(variable))
        for title, panels in self.rows.items():
            builder = builder.with_row(dashboard.Row(title))
            for panel in panels:
                builder = builder.with_panel(_built(panel))
        model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
        return model


def quantile(share: float, histogram: str, selector: str = "", by: str = "") -> str:
    """The quantile of a histogram's observations in the shown interval."""
    kept = f"le, {by}" if by else "le"
    rate = f"rate({histogram}_bucket{{{selector}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({kept}) ({rate}))"


def quantiles(histogram: str, selector: str = "", by: str = "") -> dict[str, str]:
    """Median and 95th percentile, by legend."""
    suffix = f" {{{{{by}}}}}" if by else ""
    return {
        f"p{round(share * 100)}{suffix}": quantile(share, histogram, selector, by)
        for share in (0.5, 0.95)
    }


def rate(counter: str, by: str = "") -> str:
    """How much a counter grows a second; `by` names the labels that are kept."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def _source(uid: str, kind: str) -> models.DataSourceRef:
    return models.DataSourceRef(type_val=kind, uid=uid)


def _traces(query: str) -> str:
    """The address of Grafana's Explore with a TraceQL query."""
    pane = {
        "datasource": TEMPO,
        "queries": [{"refId": "A", "queryType": "traceql", "query": query}],
        "range": {"from": "now-1h", "to": "now"},
    }
    return f"/explore?schemaVersion=1&panes={json.dumps({'a': pane}, separators=(',', ':'))}"


def _variable(variable: Variable) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.name)
        .description(variable.says)
        .datasource(_source(PROMETHEUS, "prometheus"))
        .query(f"label_values({variable.metric}, {variable.label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def _built(
    panel: Panel,
) -> timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel:
    built: timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel
    if panel.kind == "number":
        built = stat.Panel()
    elif panel.kind == "bars":
        built = bargauge.Panel()
    elif panel.kind == "heatmap":
        built = heatmap.Panel()
    else:
        graph = timeseries.Panel().gradient_mode(GraphGradientMode.OPACITY).fill_opacity(10)
        if panel.kind == "stacked":
            graph = graph.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        built = graph
    built = (
        built.title(panel.title)
        .description(panel.says)
        .unit(panel.unit)
        .datasource(_source(PROMETHEUS, "prometheus"))
        .span(panel.width)
        .height(4 if panel.kind == "number" else 8)
    )
    for n, (legend, expr) in enumerate(panel.queries.items()):
        built = built.with_target(_query(panel, chr(ord("A") + n), legend, expr))
    return built


def _query(panel: Panel, ref: str, legend: str, expr: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().ref_id(ref).expr(expr).legend_format(legend)
    query = query.instant() if panel.kind in {"number", "bars"} else query.range()
    if panel.kind == "heatmap":
        query = query.format(PromQueryFormat.HEATMAP)
    return query.exemplar(panel.exemplars)
