"""The embedding service: its queue, its batches and its throughput."""

from monitoring.panels import Board, Panel, Variable, quantile, quantiles, rate

_LANE = 'embedding_lane=~"$lane"'

BOARD = Board(
    uid="bulkhead-embedding",
    title="Bulkhead / Embedding",
    says="How the embedding service batches its work, and who waits for it.",
    variables=(
        Variable(
            "lane",
            "Reading (queries, and pairs to rerank) or bulk (documents).",
            "embedding_tokens_total",
            "embedding_lane",
        ),
    ),
    rows={
        "Queue": (
            Panel(
                "Texts that wait",
                "Texts that wait for their batch, by lane.",
                "short",
                {
                    "{{embedding_lane}}": "sum by (embedding_lane)"
                    f" (embedding_queue_texts{{{_LANE}}})"
                },
            ),
            Panel(
                "Time in the queue",
                "Time that the oldest text of a batch waited for it, by lane.",
                "s",
                quantiles("embedding_queue_duration_seconds", _LANE, "embedding_lane"),
                exemplars=True,
            ),
        ),
        "Batches": (
            Panel(
                "Time of a batch",
                "Time of the model for one batch, by lane.",
                "s",
                quantiles("embedding_batch_duration_seconds", _LANE, "embedding_lane"),
                exemplars=True,
            ),
            Panel(
                "Texts in a batch, median",
                "How many texts share a batch: one means that nothing is gained by batching.",
                "short",
                {
                    "{{embedding_lane}}": quantile(
                        0.5, "embedding_batch_texts", _LANE, "embedding_lane"
                    )
                },
            ),
            Panel(
                "Fill of a batch, median",
                "Tokens of a batch as a share of what it may hold.",
                "percentunit",
                {
                    "{{embedding_lane}}": quantile(
                        0.5, "embedding_batch_fill", _LANE, "embedding_lane"
                    )
                },
            ),
            Panel(
                "Tokens embedded",
                "Tokens embedded a second, without padding, by lane.",
                "suffix: tokens/s",
                {
                    "{{embedding_lane}}": rate(
                        f"embedding_tokens_total{{{_LANE}}}", "embedding_lane"
                    )
                },
            ),
        ),
        "As the retriever sees it": (
            Panel(
                "Time of a call",
                "Time that the retriever waits for the embedding of a question.",
                "s",
                quantiles("rag_stage_duration_seconds", 'rag_stage="embed"'),
                exemplars=True,
            ),
            Panel(
                "HTTP answers",
                "Answers of the embedding service a second, by status.",
                "reqps",
                {
                    "{{http_response_status_code}}": rate(
                        'http_server_request_duration_seconds_count{job="bulkhead/embedding"}',
                        "http_response_status_code",
                    )
                },
                kind="stacked",
            ),
        ),
    },
)
