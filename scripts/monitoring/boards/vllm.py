"""The model server: vLLM, or llama.cpp where the panel says so."""

from monitoring.panels import Board, Panel, Variable, quantiles, rate

_MODEL = 'gen_ai_request_model=~"$model"'
_VLLM = 'model_name=~"$model"'

BOARD = Board(
    uid="bulkhead-vllm",
    title="Bulkhead / vLLM",
    says="The model server's own view: latency, queue, cache and tokens.",
    variables=(Variable("model", "The served model.", "vllm:num_requests_running", "model_name"),),
    rows={
        "Latency": (
            Panel(
                "Time to first token",
                "From the arrival of a request at vLLM to its first token.",
                "s",
                quantiles("gen_ai_server_time_to_first_token_seconds", _MODEL),
            ),
            Panel(
                "Time per output token",
                "Time between tokens after the first, a request's mean.",
                "s",
                quantiles("gen_ai_server_time_per_output_token_seconds", _MODEL),
            ),
            Panel(
                "Time of a whole request",
                "From the arrival of a request at vLLM to its last token.",
                "s",
                quantiles("gen_ai_server_request_duration_seconds", _MODEL),
            ),
            Panel(
                "Time in the queue",
                "From the arrival of a request at vLLM to its first step.",
                "s",
                quantiles("vllm:request_queue_time_seconds", _VLLM),
            ),
        ),
        "Load": (
            Panel(
                "Requests",
                "Requests that run and that wait, in vLLM or llama.cpp.",
                "short",
                {"running": "llm:requests_running", "waiting": "llm:requests_waiting"},
            ),
            Panel(
                "Tokens",
                "Tokens read and written a second, as vLLM or llama.cpp counts them.",
                "suffix: tokens/s",
                {"{{gen_ai_token_type}}": "llm:tokens:rate5m"},
            ),
            Panel(
                "KV cache in use",
                "Share of vLLM's memory for running requests that is taken.",
                "percentunit",
                {"{{model_name}}": f"max by (model_name) (vllm:kv_cache_usage_perc{{{_VLLM}}})"},
            ),
            Panel(
                "Preemptions",
                "Requests a second that vLLM put back for lack of memory.",
                "ops",
                {"{{model_name}}": rate(f"vllm:num_preemptions_total{{{_VLLM}}}", "model_name")},
            ),
            Panel(
                "Prefix cache hit rate",
                "Share of prompt tokens that vLLM had computed before.",
                "percentunit",
                {
                    "hits": rate(f"vllm:prefix_cache_hits_total{{{_VLLM}}}")
                    + " / "
                    + rate(f"vllm:prefix_cache_queries_total{{{_VLLM}}}")
                },
            ),
            Panel(
                "Why answers end",
                "Requests finished a second, by reason: length means that the limit cut them.",
                "reqps",
                {
                    "{{finished_reason}}": rate(
                        f"vllm:request_success_total{{{_VLLM}}}", "finished_reason"
                    )
                },
                kind="stacked",
            ),
        ),
    },
)
