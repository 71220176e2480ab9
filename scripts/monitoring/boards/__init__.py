"""The dashboards, one a module."""

from monitoring.boards import (
    agent,
    embedding,
    ingestion,
    overview,
    retrieval,
    telemetry,
    vllm,
)

BOARDS = tuple(
    module.BOARD for module in (overview, vllm, retrieval, ingestion, agent, embedding, telemetry)
)
