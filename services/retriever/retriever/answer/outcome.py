"""What became of a question, counted: answered, abstained or failed, and how well it was grounded.

`supported` is the lexical check's word (`ground`), under its own evaluator's name. It is no
measure of truth; docs/operations.md says what it cannot see.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from bulkhead.errors import ApiError
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import (
    ANSWER_DURATION,
    ANSWERS,
    EVALUATION_ELIGIBLE,
    EVALUATIONS,
    FIRST_TOKEN,
    RETRIEVED,
)
from retriever.answer.flow import Answered
from retriever.report import Report


def count(answered: Answered, report: Report) -> None:
    """Count an answer that came to its end; its report must be finished."""
    traffic = {names.TRAFFIC: report.traffic}
    grounding = answered.grounding
    outcome = {names.OUTCOME: "abstained" if grounding.abstained else "answered", **traffic}
    ANSWERS.add(1, outcome)
    ANSWER_DURATION.record(report.timings["total"] / 1000, outcome)
    if report.first_word is not None:
        FIRST_TOKEN.record(report.first_word, traffic)
    cited = len({citation.chunk_id for citation in answered.citations})
    RETRIEVED.add(cited, {names.RESULT: "cited", **traffic})
    RETRIEVED.add(max(len(answered.hits) - cited, 0), {names.RESULT: "not_cited", **traffic})
    evaluation = {names.EVALUATION_NAME: "support", names.EVALUATOR: grounding.evaluator, **traffic}
    if grounding.abstained:
        label = "unscored"
    else:
        label = "supported" if grounding.supported else "unsupported"
        EVALUATION_ELIGIBLE.add(1, evaluation)
    EVALUATIONS.add(1, {names.EVALUATION_LABEL: label, **evaluation})


@contextmanager
def failures_counted(report: Report) -> Iterator[None]:
    """Count a failure of ours or of a neighbour in the body. A refused request is none."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ApiError) or error.status >= 500:
            ANSWERS.add(1, {names.OUTCOME: "error", names.TRAFFIC: report.traffic})
        raise
