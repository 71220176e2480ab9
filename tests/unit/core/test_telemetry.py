"""Telemetry: every name in one place, and nothing that grows without bound or tells a secret."""

import json
import logging

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from bulkhead.logs import JsonFormatter
from bulkhead.telemetry import instruments, names

METRICS = {
    "CACHE_LOOKUPS": "rag.cache.lookups",
    "CANARIES": "rag.retrieval.canary",
    "CANARY_HIT_RATE": "rag.retrieval.canary.hit_rate",
    "CANARY_MRR": "rag.retrieval.canary.mrr",
    "CHUNKS": "rag.ingest.chunks",
    "DEGRADED": "rag.degraded",
    "DOCUMENTS": "rag.ingest.documents",
    "DOCUMENTS_WAITING": "rag.ingest.waiting",
    "EMBEDDED_TOKENS": "embedding.tokens",
    "EVALUATIONS": "rag.evaluations",
    "EVALUATION_DROPPED": "rag.evaluation.dropped",
    "EVALUATION_DURATION": "rag.evaluation.duration",
    "EVALUATION_ELIGIBLE": "rag.evaluation.eligible",
    "FEEDBACK": "rag.feedback",
    "FIRST_TOKEN": "rag.answer.time_to_first_token",
    "INDEX_REFUSES": "rag.index.refuses",
    "INGEST_STAGE_DURATION": "rag.ingest.stage.duration",
    "LIMITED": "rag.rate_limited",
    "LIMITS_ALONE": "rag.limits.alone",
    "MCP_CLIENT_DURATION": "mcp.client.operation.duration",
    "MCP_SERVER_DURATION": "mcp.server.operation.duration",
    "MODEL_SERVER_CALLS": "rag.model.calls",
    "ANSWERS": "rag.answers",
    "ANSWER_DURATION": "rag.answer.duration",
    "BATCH_DURATION": "embedding.batch.duration",
    "BATCH_FILL": "embedding.batch.fill",
    "BATCH_TEXTS": "embedding.batch.texts",
    "OPERATION_DURATION": "gen_ai.client.operation.duration",
    "QUEUE_SECONDS": "embedding.queue.duration",
    "QUEUE_TEXTS": "embedding.queue.texts",
    "RETRIEVED": "rag.retrieval.chunks",
    "STAGE_DURATION": "rag.stage.duration",
    "TIME_PER_OUTPUT_CHUNK": "gen_ai.client.operation.time_per_output_chunk",
    "TIME_TO_FIRST_CHUNK": "gen_ai.client.operation.time_to_first_chunk",
    "TOKEN_USAGE": "gen_ai.client.token.usage",
    "TOOL_CALLS": "rag.tool.calls",
    "TOP1_SCORE": "rag.retrieval.top1_score",
    "WARNINGS": "rag.ingest.warnings",
}
"""Dashboards and alerts ask for these. Whoever renames one changes them too."""


def test_the_metrics_are_called_what_dashboards_ask_for() -> None:
    made = {key: getattr(value, "_name", None) for key, value in vars(instruments).items()}
    assert {key: name for key, name in made.items() if key.isupper() and name} == METRICS


def test_attribute_names_are_lower_case_and_dotted() -> None:
    attributes = {key: value for key, value in vars(names).items() if key.isupper()}
    assert len(set(attributes.values())) == len(attributes)
    assert all(value == value.lower() for value in attributes.values())


def test_a_log_line_carries_the_trace_that_it_belongs_to() -> None:
    tracer = TracerProvider().get_tracer("test")
    record = logging.makeLogRecord({"msg": "hello", "levelname": "INFO"})
    with tracer.start_as_current_span("work") as span:
        line = json.loads(JsonFormatter().format(record))
    assert line["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert "trace_id" not in json.loads(JsonFormatter().format(record))
