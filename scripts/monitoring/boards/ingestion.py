"""Ingestion: what comes in, what fails, and how long it waits."""

from monitoring.panels import Board, Panel, quantiles, rate

BOARD = Board(
    uid="bulkhead-ingestion",
    title="Bulkhead / Ingestion",
    says="Documents on their way into the index.",
    rows={
        "Documents": (
            Panel(
                "Documents",
                "Documents a second, by what became of them.",
                "ops",
                {"{{rag_outcome}}": rate("rag_ingest_documents_total", "rag_outcome")},
                kind="stacked",
            ),
            Panel(
                "Failed",
                "Share of documents that could not be taken in.",
                "percentunit",
                {
                    "failed": rate('rag_ingest_documents_total{rag_outcome="failed"}')
                    + " / "
                    + rate("rag_ingest_documents_total")
                },
            ),
            Panel(
                "Documents that wait",
                "Accepted documents that are not in the index yet.",
                "short",
                {"waiting": "sum(rag_ingest_waiting)"},
            ),
            Panel(
                "Chunks written",
                "Chunks written to the index a second.",
                "ops",
                {"chunks": rate("rag_ingest_chunks_total")},
            ),
            Panel(
                "Stages of a document",
                "Time to parse a document, and to embed and index those that go together.",
                "s",
                quantiles("rag_ingest_stage_duration_seconds", by="rag_stage"),
            ),
            Panel(
                "Free disk",
                "Space left on the disk of each service's data.",
                "bytes",
                {
                    "{{job}}": "sum by (job) (system_filesystem_usage_bytes"
                    '{system_filesystem_state="free"})'
                },
            ),
        ),
    },
)
