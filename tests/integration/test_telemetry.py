"""What one question leaves behind: counted once under the right name, traced as one tree."""

from functools import partial
from typing import Any

import pytest
from leaving import asking
from opentelemetry.trace import SpanKind, StatusCode
from rig import KEY, Api, Neighbour, running
from scripted_llm import ScriptedLLM
from serving import until
from telemetry import Recorded

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."


@pytest.fixture
def recorded(filled: Api) -> Recorded:
    return Recorded()


def test_a_supported_answer_is_counted_once(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    filled.ask(QUESTION)
    assert recorded.total("rag.answers") == 1
    assert recorded.total("rag.answers", rag_outcome="answered", rag_traffic="user") == 1
    label = {"gen_ai_evaluation_score_label": "supported", "rag_evaluator": "lexical-v2"}
    assert recorded.total("rag.evaluations", **label) == 1
    assert recorded.total("rag.answer.time_to_first_token") == 1
    assert recorded.total("rag.retrieval.chunks", rag_result="cited") == 1
    for stage in ("embed", "search", "prepare", "prompt", "generate", "cite"):
        assert recorded.total("rag.stage.duration", rag_stage=stage) == 1, stage


def test_the_models_tokens_and_times_are_counted_by_the_conventions(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    llm.pause = 0.01
    filled.ask(QUESTION, stream=True)
    model = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "scripted"}
    assert recorded.total("gen_ai.client.operation.duration", **model) == 1
    assert recorded.total("gen_ai.client.operation.time_to_first_chunk", **model) == 1
    assert recorded.total("gen_ai.client.operation.time_per_output_chunk", **model) == 1
    for kind in ("input", "output"):
        assert recorded.total("gen_ai.client.token.usage", gen_ai_token_type=kind, **model) == 1


def test_an_abstention_is_no_answer_and_is_not_scored(recorded: Recorded, filled: Api) -> None:
    filled.ask("Zebra quantum xylophone?")
    assert recorded.total("rag.answers", rag_outcome="abstained") == 1
    assert recorded.total("rag.evaluations", gen_ai_evaluation_score_label="unscored") == 1
    assert recorded.total("rag.evaluation.eligible") == 0


def test_a_dead_model_server_is_an_error_and_a_bad_request_is_not(
    recorded: Recorded, filled: Api, llm_server: Neighbour
) -> None:
    assert filled.ask("  ").status_code == 422
    assert recorded.total("rag.answers") == 0
    llm_server.stop()
    assert filled.ask(QUESTION).status_code == 503
    assert recorded.total("rag.answers", rag_outcome="error") == 1


def test_a_client_that_leaves_is_no_error(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.words, llm.hold = ["The", " retriever", " listens.", " never said"], True
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    with asking(filled, "/v1/chat/completions", body):
        assert llm.began.wait(60)
    assert llm.cancelled.wait(60)
    ended: list[Any] = []
    while not ended:  # the model's server makes one of this name as well
        named = [one for one in recorded.spans() if one.name == "POST /v1/chat/completions"]
        ended = [one for one in named if one.parent is None]
    (span,) = ended
    assert span.status.status_code is StatusCode.UNSET and "error.type" not in (
        span.attributes or {}
    )
    assert recorded.total("rag.answers") == 0


def test_a_canarys_questions_are_kept_apart(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    filled.headers["baggage"] = "rag.traffic=canary"
    filled.ask(QUESTION)
    assert recorded.total("rag.answers", rag_traffic="canary") == 1
    assert recorded.total("rag.answers", rag_traffic="user") == 0


def counted(recorded: Recorded, outcome: str) -> bool:
    return recorded.total("rag.ingest.documents", rag_outcome=outcome) == 1


def test_documents_are_counted_by_what_became_of_them(recorded: Recorded, api: Api) -> None:
    first = {"text": "The ferry leaves from pier 9.", "source": "ferry"}
    for outcome, document in {
        "added": first,
        "unchanged": first,
        "replaced": first | {"text": "The ferry leaves from pier 4."},
        "failed": {"text": " ", "source": "empty"},
    }.items():
        assert api.ingest(document)["counts"][outcome] == 1
        # Counted once the outcome is committed, which the job may tell before.
        until(partial(counted, recorded, outcome))
    assert recorded.total("rag.ingest.documents") == 4
    assert recorded.total("rag.ingest.chunks") == 2
    for stage in ("parse", "embed", "index"):
        assert recorded.total("rag.ingest.stage.duration", rag_stage=stage) == 2, stage
    until(lambda: recorded.total("rag.ingest.waiting") == 0)


def test_documents_wait_until_they_are_in_or_called_off(
    settings: RetrieverSettings, embedding_server: Neighbour
) -> None:
    recorded = Recorded()
    with running(settings) as api:
        api.ingest({"text": "In before.", "source": "before"})
        embedding_server.stop()
        texts = [{"text": f"Text {n}.", "source": f"s{n}"} for n in range(3)]
        kept = api.post("/v1/documents", json={"documents": texts[:2]}).json()["id"]
        called_off = api.post("/v1/documents", json={"documents": texts[2:]}).json()["id"]
        until(lambda: recorded.total("rag.ingest.waiting") == 3)
        assert api.post(f"/v1/jobs/{called_off}/cancel").status_code == 200
        until(lambda: recorded.total("rag.ingest.waiting") == 2)
    embedding_server.start()
    again = Recorded()
    with running(settings) as api:  # it knows what the process before left
        assert api.finished(kept)["counts"]["added"] == 2
        assert again.total("rag.ingest.documents", rag_outcome="added") == 2
        until(lambda: again.total("rag.ingest.waiting") == 0)


def test_one_question_is_one_trace_without_orphans(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    reply = filled.ask(QUESTION).json()
    trace_id = int(reply["trace_id"], 16)
    spans = {
        span.context.span_id: span
        for span in recorded.spans()
        if span.context is not None and span.context.trace_id == trace_id
    }
    found = {(span.name, span.kind) for span in spans.values()}
    assert ("POST /v1/chat/completions", SpanKind.SERVER) in found
    assert ("POST /v1/embeddings", SpanKind.SERVER) in found  # in the embedding service
    assert ("chat scripted", SpanKind.CLIENT) in found
    assert any(name.startswith("embeddings ") for name, _ in found)
    assert any(name.startswith("retrieval ") for name, _ in found)
    roots = [span for span in spans.values() if span.parent is None]
    assert [root.name for root in roots] == ["POST /v1/chat/completions"]
    assert all(span.parent.span_id in spans for span in spans.values() if span.parent is not None)


def test_nothing_that_was_written_is_in_the_telemetry(
    recorded: Recorded, filled: Api, llm: ScriptedLLM
) -> None:
    llm.say("The secret word of the answer is heliotrope.")
    filled.ask("Which port does the marzipan retriever listen on?")
    told = " ".join(span.to_json() for span in recorded.spans())
    assert "POST /v1/chat/completions" in told
    for secret in ("heliotrope", "marzipan", "listens on port", KEY):
        assert secret not in told
