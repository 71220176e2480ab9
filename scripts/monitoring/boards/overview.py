"""RAG overview: are users served, how fast, how well, and at what cost in tokens."""

from monitoring.panels import Board, Panel, Variable, quantile, quantiles, rate

_USER = 'rag_traffic="user"'
_VERDICTS = (
    'gen_ai_evaluation_name="support",gen_ai_evaluation_score_label=~"supported|unsupported",'
    f'rag_evaluator=~"$evaluator",{_USER}'
)
_UNSUPPORTED = _VERDICTS.replace('=~"supported|unsupported"', '="unsupported"')
_BY = "sum by (rag_evaluator)"
_N = f"({_BY} (increase(rag_evaluations_total{{{_VERDICTS}}}[$__range])) > 0)"
_RATE = (
    f"(({_BY} (increase(rag_evaluations_total{{{_UNSUPPORTED}}}[$__range])) or 0 * {_N}) / {_N})"
)


def wilson(sign: str) -> str:
    """A bound of the 95% Wilson interval of `_RATE` over `_N` events."""
    z = 1.96
    half = f"{z} * sqrt({_RATE} * (1 - {_RATE}) / {_N} + {z**2:.4f} / (4 * {_N} ^ 2))"
    centre = f"{_RATE} + {z**2:.4f} / (2 * {_N})"
    return f"({centre} {sign} {half}) / (1 + {z**2:.4f} / {_N})"


def _tokens(kind: str) -> str:
    return rate(
        f'gen_ai_client_token_usage_sum{{gen_ai_token_type="{kind}"}}', "gen_ai_request_model"
    )


def _stage(share: float) -> str:
    buckets = f"increase(rag_stage_duration_seconds_bucket{{{_USER}}}[$__range])"
    return f"histogram_quantile({share}, sum by (le, rag_stage) ({buckets}))"


EVALUATOR = Variable(
    "evaluator", "Who judged the answers.", "rag_evaluations_total", "rag_evaluator"
)

BOARD = Board(
    uid="bulkhead-overview",
    title="Bulkhead / RAG overview",
    says="Are users served, how fast, and are the answers borne out by their sources.",
    variables=(EVALUATOR,),
    rows={
        "Objectives": (
            Panel(
                "Error budget left, 30 days",
                "Share of each objective's error budget that the last 30 days left over.",
                "percentunit",
                {
                    "{{slo}}": "1 - slo:error_ratio:rate30d"
                    " / on (slo) group_left () (1 - slo:objective:ratio)"
                },
                kind="number",
                width=24,
            ),
            Panel(
                "Burn rate, 1 hour",
                "How many times faster than allowed the budget burns; 14.4 wakes someone.",
                "none",
                {
                    "{{slo}}": "slo:error_ratio:rate1h"
                    " / on (slo) group_left () (1 - slo:objective:ratio)"
                },
            ),
            Panel(
                "What became of questions",
                "Questions of users a second, answered, declined for lack of sources, or failed.",
                "reqps",
                {"{{rag_outcome}}": rate(f"rag_answers_total{{{_USER}}}", "rag_outcome")},
                kind="stacked",
            ),
        ),
        "Speed": (
            Panel(
                "Time to first token",
                "From a user's question to the first word; each dot leads to a trace.",
                "s",
                {
                    f"p{n}": quantile(n / 100, "rag_answer_time_to_first_token_seconds", _USER)
                    for n in (50, 95, 99)
                },
                exemplars=True,
            ),
            Panel(
                "Time to the end of the answer",
                "From a user's question to the last word, by outcome.",
                "s",
                quantiles("rag_answer_duration_seconds", _USER, "rag_outcome"),
                exemplars=True,
            ),
            Panel(
                "Stages, median",
                "Median time of each stage of a question, in the shown range.",
                "s",
                {"{{rag_stage}}": _stage(0.5)},
                kind="bars",
            ),
            Panel(
                "Stages, 95th percentile",
                "Time of each stage that one question in twenty exceeds, in the shown range.",
                "s",
                {"{{rag_stage}}": _stage(0.95)},
                kind="bars",
            ),
        ),
        "Tokens": (
            Panel(
                "Tokens read",
                "Tokens of prompts a second, as the retriever counts them, by model.",
                "suffix: tokens/s",
                {"{{gen_ai_request_model}}": _tokens("input")},
            ),
            Panel(
                "Tokens written",
                "Tokens of answers a second, as the retriever counts them, by model.",
                "suffix: tokens/s",
                {"{{gen_ai_request_model}}": _tokens("output")},
            ),
        ),
        "Quality": (
            Panel(
                "Unsupported answers, 95% interval",
                "Share of scored answers that their sources do not bear out, with its Wilson"
                " interval, by evaluator and never blended.",
                "percentunit",
                {
                    "{{rag_evaluator}}": _RATE,
                    "{{rag_evaluator}} low": wilson("-"),
                    "{{rag_evaluator}} high": wilson("+"),
                },
                kind="number",
                width=16,
            ),
            Panel(
                "Answers scored",
                "Number of answers behind the unsupported rate: below 100 it says little.",
                "short",
                {"{{rag_evaluator}}": _N},
                kind="number",
                width=8,
            ),
            Panel(
                "Canary hit@5",
                "Share of labelled questions whose passage is among the first five, each hour.",
                "percentunit",
                {
                    "hit@5": 'sum(increase(rag_retrieval_canary_total{rag_result="hit"}[1h]))'
                    ' / sum(increase(rag_retrieval_canary_total{rag_result=~"hit|miss"}[1h]))'
                },
            ),
            Panel(
                "Verdicts",
                "Verdicts on users' answers a second, by evaluator; unscored ones are shown too.",
                "ops",
                {
                    "{{rag_evaluator}} {{gen_ai_evaluation_score_label}}": rate(
                        f'rag_evaluations_total{{rag_evaluator=~"$evaluator",{_USER}}}',
                        "rag_evaluator, gen_ai_evaluation_score_label",
                    )
                },
                kind="stacked",
            ),
            Panel(
                "Evaluation coverage",
                "Share of the answers that could be scored and were, each hour.",
                "percentunit",
                {"{{rag_evaluator}}": "rag:evaluation_coverage:ratio1h"},
            ),
            Panel(
                "Votes",
                "Votes of users on answers in the shown range, by kind.",
                "short",
                {"{{rag_vote}}": "sum by (rag_vote) (increase(rag_feedback_total[$__range]))"},
                kind="number",
            ),
        ),
    },
)
