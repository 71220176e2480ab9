"""The embedding service: its queue, its batches and its throughput."""

from monitoring.panels import Board, Panel, Variable, quantile, quantiles, rate

_KIND = 'embedding_input_kind=~"$kind"'

BOARD = Board(
    uid="bulkhead-embedding",
    title="Bulkhead / Embedding",
    says="How the embedding service batches its work, and who waits for it.",
    variables=(
        Variable(
            "kind",
            "Queries, documents or pairs to rerank.",
            "embedding_tokens_total",
            "embedding_input_kind",
        ),
    ),
    rows={
        "Queue": (
            Panel(
                "Texts that wait",
                "Texts that wait for their batch, by kind.",
                "short",
                {
                    "{{embedding_input_kind}}": "sum by (embedding_input_kind)"
                    f" (embedding_queue_texts{{{_KIND}}})"
                },
            ),
            Panel(
                "Time in the queue",
                "Time that a text waits for its batch, by kind.",
                "s",
                quantiles("embedding_queue_duration_seconds", _KIND, "embedding_input_kind"),
                exemplars=True,
            ),
        ),
        "Batches": (
            Panel(
                "Time of a batch",
                "Time of the model for one batch, by kind.",
                "s",
                quantiles("embedding_batch_duration_seconds", _KIND, "embedding_input_kind"),
                exemplars=True,
            ),
            Panel(
                "Texts in a batch, median",
                "How many texts share a batch: one means that nothing is gained by batching.",
                "short",
                {
                    "{{embedding_input_kind}}": quantile(
                        0.5, "embedding_batch_texts", _KIND, "embedding_input_kind"
                    )
                },
            ),
            Panel(
                "Fill of a batch, median",
                "Tokens of a batch as a share of what it may hold.",
                "percentunit",
                {
                    "{{embedding_input_kind}}": quantile(
                        0.5, "embedding_batch_fill", _KIND, "embedding_input_kind"
                    )
                },
            ),
            Panel(
                "Tokens embedded",
                "Tokens embedded a second, without padding, by kind.",
                "suffix: tokens/s",
                {
                    "{{embedding_input_kind}}": rate(
                        f"embedding_tokens_total{{{_KIND}}}", "embedding_input_kind"
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
