"""What a report counts when its question has been answered."""

import pytest
from telemetry import Recorded

from retriever.report import Report


@pytest.mark.parametrize("score", [-0.07, 0.0, 0.42])
def test_the_best_chunk_of_every_search_is_counted(
    score: float, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = Recorded()
    report = Report()
    report.top1_score = score  # a cosine: below zero where nothing fits
    report.finish()
    assert recorded.total("rag.retrieval.top1_score", rag_traffic="user") == 1
    assert caplog.text == ""
