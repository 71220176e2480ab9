"""Retrieval: what is found, how well, and how fast the index answers."""

from monitoring.panels import Board, Panel, Variable, quantile, quantiles, rate

_TRAFFIC = 'rag_traffic=~"$traffic"'
_CHUNKS = f"rag_retrieval_chunks_total{{{_TRAFFIC}}}"
_CITED = _CHUNKS.replace("{", '{rag_result="cited",')
_SCORE = "rag_retrieval_top1_score"

BOARD = Board(
    uid="bulkhead-retrieval",
    title="Bulkhead / Retrieval",
    says="What the index finds, how well it fits the questions, and how fast it answers.",
    variables=(
        Variable("traffic", "Users or the canary prober.", "rag_answers_total", "rag_traffic"),
    ),
    rows={
        "Quality": (
            Panel(
                "Best chunk's cosine",
                "How near the best chunk is to each question; a band at the bottom is questions"
                " that the documents do not cover.",
                "none",
                {"{{le}}": f"sum by (le) (increase({_SCORE}_bucket[$__rate_interval]))"},
                kind="heatmap",
            ),
            Panel(
                "Questions out of scope",
                "Share of questions whose best chunk is farther than a cosine of 0.4.",
                "percentunit",
                {
                    "out of scope": f'sum(rate({_SCORE}_bucket{{le="0.4"}}[$__rate_interval]))'
                    f" / sum(rate({_SCORE}_count[$__rate_interval]))"
                },
            ),
            Panel(
                "Chunks cited",
                "Share of the chunks shown to the model that its answers cite.",
                "percentunit",
                {"cited": f"{rate(_CITED)} / {rate(_CHUNKS)}"},
            ),
            Panel(
                "Canary results",
                "Labelled questions a second, by what became of them.",
                "ops",
                {"{{rag_result}}": rate("rag_retrieval_canary_total", "rag_result")},
                kind="stacked",
            ),
            Panel(
                "Declined",
                "Share of questions that were declined for lack of sources.",
                "percentunit",
                {
                    "declined": rate(f'rag_answers_total{{rag_outcome="abstained",{_TRAFFIC}}}')
                    + " / "
                    + rate(f"rag_answers_total{{{_TRAFFIC}}}")
                },
            ),
            Panel(
                "Served without a part",
                "Requests a second that did without a part that was down.",
                "reqps",
                {"{{rag_stage}}": rate(f"rag_degraded_total{{{_TRAFFIC}}}", "rag_stage")},
            ),
        ),
        "Speed": (
            Panel(
                "Search",
                "Time of the search, as the retriever waits for it.",
                "s",
                quantiles("rag_stage_duration_seconds", f'rag_stage="search",{_TRAFFIC}'),
                exemplars=True,
            ),
            Panel(
                "Qdrant's answers, p95",
                "Time of Qdrant's gRPC calls that one in twenty exceeds, by endpoint.",
                "s",
                {"{{endpoint}}": quantile(0.95, "grpc_responses_duration_seconds", by="endpoint")},
            ),
            Panel(
                "Qdrant's failures",
                "Answers of Qdrant a second that are errors, by endpoint and gRPC's code.",
                "reqps",
                {
                    "{{endpoint}} {{status}}": rate(
                        'grpc_responses_total{status=~"[1-9].*"}', "endpoint, status"
                    )
                },
            ),
            Panel(
                "Points in the index",
                "Chunks that Qdrant holds, by collection.",
                "short",
                {"{{id}}": "sum by (id) (collection_points)"},
            ),
        ),
        "Guards": (
            Panel(
                "Rate limited",
                "Requests a second that were refused because of a limit, by limit; and looks at a"
                " limit that a retriever took for itself, as Valkey did not answer.",
                "reqps",
                {
                    "{{rag_limit}}": rate("rag_rate_limited_total", "rag_limit"),
                    "without Valkey": rate("rag_limits_alone_total"),
                },
            ),
            Panel(
                "Cache hit rate",
                "Share of lookups that a cache answered, by cache.",
                "percentunit",
                {
                    "{{rag_cache}}": rate('rag_cache_lookups_total{rag_result="hit"}', "rag_cache")
                    + " / "
                    + rate("rag_cache_lookups_total", "rag_cache")
                },
            ),
        ),
    },
)
