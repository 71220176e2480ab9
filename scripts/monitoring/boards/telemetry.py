"""Telemetry health: does what we see arrive, and what is lost on the way."""

from monitoring.panels import Board, Panel


def _grows(name: str, by: str = "") -> str:
    """The growth of a counter of the collector, whose name ends in `_total` in some releases.

    One metric at a time: two that differ only in their names cannot be in one rate.
    """
    return f'sum by ({by}) (rate({{__name__=~"otelcol_{name}(_total)?"}}[$__rate_interval]))'


_KINDS = {"spans": "spans", "points": "metric_points"}
_FAILURES = {
    "write-ahead log": "prometheus_tsdb_wal_writes_failed_total",
    "compactions": "prometheus_tsdb_compactions_failed_total",
    "rules": "prometheus_rule_evaluation_failures_total",
    "notifications": "prometheus_notifications_dropped_total",
}

BOARD = Board(
    uid="bulkhead-telemetry",
    title="Bulkhead / Telemetry health",
    says="Whether metrics, traces and alerts arrive, and what is lost on the way.",
    rows={
        "Collector": (
            Panel(
                "Received",
                "Spans and metric points that the collector takes a second.",
                "ops",
                {kind: _grows(f"receiver_accepted_{name}") for kind, name in _KINDS.items()},
            ),
            Panel(
                "Refused",
                "Spans and metric points a second that the collector refuses for lack of memory.",
                "ops",
                {kind: _grows(f"receiver_refused_{name}") for kind, name in _KINDS.items()},
            ),
            Panel(
                "Lost",
                "Spans and metric points a second that the collector gives up.",
                "ops",
                {
                    f"{{{{exporter}}}} {kind} {how}": _grows(
                        f"exporter_{how}_failed_{name}", "exporter"
                    )
                    for kind, name in _KINDS.items()
                    for how in ("send", "enqueue")
                },
            ),
            Panel(
                "Queue",
                "Share of the collector's queue that is taken, by exporter and kind.",
                "percentunit",
                {
                    "{{exporter}} {{data_type}}": "max by (exporter, data_type)"
                    " (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)"
                },
            ),
            Panel(
                "Traces kept",
                "Traces a second that tail sampling keeps and drops.",
                "ops",
                {
                    "kept {{sampled}}": _grows(
                        "processor_tail_sampling_global_count_traces_sampled", "sampled"
                    )
                },
                kind="stacked",
            ),
            Panel(
                "Collector's memory",
                "Memory that the collector's process holds.",
                "bytes",
                {"resident": 'sum({__name__=~"otelcol_process_memory_rss(_bytes)?"})'},
            ),
        ),
        "Prometheus": (
            Panel(
                "Targets that answer",
                "Which targets Prometheus can scrape: one is up, zero is down.",
                "none",
                {"{{job}}": "min by (job) (up)"},
            ),
            Panel(
                "Replicas",
                "Processes of each service that send metrics; each has an instance of its own.",
                "short",
                {"{{job}}": 'count by (job) (target_info{job=~"bulkhead/.+"})'},
            ),
            Panel(
                "Series",
                "Time series in memory; a jump is a label with too many values.",
                "short",
                {"series": "sum(prometheus_tsdb_head_series)"},
            ),
            Panel(
                "Failures",
                "Prometheus' own failures a second: rules, disk and notifications.",
                "ops",
                {
                    work: f"sum(rate({counter}[$__rate_interval]))"
                    for work, counter in _FAILURES.items()
                },
            ),
            Panel(
                "Disk",
                "Space that Prometheus' finished blocks take.",
                "bytes",
                {"blocks": "sum(prometheus_tsdb_storage_blocks_bytes)"},
            ),
            Panel(
                "Alerts that fire",
                "Firing alerts now, by name.",
                "short",
                {"{{alertname}}": 'sum by (alertname) (ALERTS{alertstate="firing"}) or vector(0)'},
                kind="number",
                width=24,
            ),
        ),
    },
)
