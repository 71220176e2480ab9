"""The quality service beside a real retriever: canaries asked, answers handed over and judged."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rig import Api, running
from scripted_llm import ScriptedLLM
from serving import free_port, serving
from telemetry import Recorded

from quality.main import create
from quality.settings import QualitySettings
from retriever.answer.ground import EVALUATOR
from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."
TOKEN = "quality-token"

CANARIES = {
    "retrieval": [
        {"question": QUESTION, "source": "ports.md", "text": "listens on port 8080"},
        {"question": "When is the lentil soup served?", "source": "canteen.txt"},
        {"question": "Who keeps the rows?", "source": "gone.md"},
    ],
    "declined": ["Zebra quantum xylophone?"],
}


@pytest.fixture
def judge() -> ScriptedLLM:
    """The model that judges: apart from the one that answers, so that each has its words."""
    llm = ScriptedLLM()
    llm.words = ["Yes"]
    llm.odds = {"Yes": -0.9, "No": -1.1}
    return llm


@pytest.fixture
def judge_server(judge: ScriptedLLM) -> Iterator[str]:
    with serving(judge.app) as url:
        yield url


@pytest.fixture
def quality_port() -> int:
    return free_port()


@pytest.fixture
def settings(settings: RetrieverSettings, tmp_path: Path, quality_port: int) -> RetrieverSettings:
    """The retriever's, with every answer handed over."""
    (tmp_path / "quality-token").write_text(TOKEN)
    told = {
        "quality_url": f"http://127.0.0.1:{quality_port}",
        "quality_token_file": tmp_path / "quality-token",
        "quality_share": 1.0,
    }
    return RetrieverSettings.model_validate(settings.model_dump() | told)


@contextmanager
def quality(
    api: Api, settings: RetrieverSettings, llm_url: str, port: int, **told: Any
) -> Iterator[httpx2.Client]:
    """The quality service at `port`, probing `api`."""
    canaries = settings.data_dir / "canaries.json"
    canaries.write_text(json.dumps(CANARIES))
    made = QualitySettings.model_validate(
        {
            "retriever_url": str(api.base_url),
            "api_key_file": settings.api_key_file,
            "token_file": settings.quality_token_file,
            "canaries": canaries,
            "llm_url": f"{llm_url}/v1",
            "judge_threshold": 0.7,
            "canary_seconds": 3600,
            **told,
        }
    )
    with serving(create(made), port) as url, httpx2.Client(base_url=url, timeout=60) as client:
        until(lambda: client.get("/readyz").json()["parts"]["judge"]["state"] == "up")
        yield client


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread counts."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_round_of_canaries_is_counted_apart_from_the_users(
    filled: Api, settings: RetrieverSettings, judge_server: str, quality_port: int
) -> None:
    recorded = Recorded()
    with quality(filled, settings, judge_server, quality_port) as client:
        until(lambda: recorded.total("rag.retrieval.canary") == 4)
        until(lambda: client.get("/readyz").json()["status"] == "ready")
    for result, count in {"hit": 2, "absent": 1, "declined": 1}.items():
        assert recorded.total("rag.retrieval.canary", rag_result=result) == count, result
    assert recorded.total("rag.stage.duration", rag_stage="search", rag_traffic="canary") == 5
    assert recorded.total("rag.stage.duration", rag_traffic="user") == 0
    assert recorded.total("rag.answers", rag_traffic="canary") == 1
    assert recorded.total("rag.answers", rag_traffic="user") == 0
    assert recorded.total("rag.evaluation.eligible", rag_evaluator="judge") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_judged_in_its_own_trace_and_under_the_judges_name_alone(
    filled: Api,
    settings: RetrieverSettings,
    llm: ScriptedLLM,
    judge: ScriptedLLM,
    judge_server: str,
    quality_port: int,
    stream: bool,
) -> None:
    recorded = Recorded()
    llm.say(ANSWER)
    with quality(filled, settings, judge_server, quality_port):
        reply = filled.ask(QUESTION, stream=stream)
        until(lambda: recorded.total("rag.evaluations", rag_evaluator="lexical+judge") == 1)
    label = "gen_ai_evaluation_score_label"
    verdicts = {
        evaluator: recorded.total(
            "rag.evaluations", rag_evaluator=evaluator, rag_traffic="user", **{label: verdict}
        )
        for evaluator, verdict in (
            (EVALUATOR, "supported"),
            ("judge", "unsupported"),
            ("lexical+judge", "unsupported"),
        )
    }
    assert verdicts == {EVALUATOR: 1, "judge": 1, "lexical+judge": 1}
    (asked,) = judge.requests
    material = asked["messages"][1]["content"]
    assert f"<statement>\n{ANSWER}\n</statement>" in material  # no marker
    assert "<source>\nPorts\n" in material
    results = [one for one in recorded.spans() if one.name == "gen_ai.evaluation.result"]
    assert len(results) == 2
    result = results[0]
    assert result.attributes is not None and result.context is not None
    if not stream:
        assert result.attributes["gen_ai.response.id"] == reply.json()["id"]
        assert result.context.trace_id == int(reply.json()["trace_id"], 16)
    parents = {one.context.span_id for one in recorded.spans() if one.context is not None}
    assert result.parent is not None
    assert result.parent.span_id in parents
    assert all("listens on" not in one.to_json() for one in recorded.spans())


def test_an_abstention_and_a_canarys_answer_are_not_handed_over(
    filled: Api,
    settings: RetrieverSettings,
    llm: ScriptedLLM,
    judge: ScriptedLLM,
    judge_server: str,
    quality_port: int,
) -> None:
    recorded = Recorded()
    llm.say(ANSWER)
    with quality(filled, settings, judge_server, quality_port):
        filled.ask("Zebra quantum xylophone?")
        filled.headers["baggage"] = "rag.traffic=canary"
        filled.ask(QUESTION)
        del filled.headers["baggage"]
        filled.ask(QUESTION)  # what came before is through, too
        until(lambda: recorded.total("rag.evaluations", rag_evaluator="judge") == 1)
    assert len(judge.requests) == 1


def test_answers_are_as_good_without_the_quality_service(filled: Api, llm: ScriptedLLM) -> None:
    recorded = Recorded()
    llm.say(ANSWER)
    assert filled.ask(QUESTION).status_code == 200
    until(lambda: recorded.total("rag.evaluation.dropped", rag_stage="send") == 1)
    filled.until_ready(lambda one: one["status"] == "ready")


def test_a_retriever_that_goes_away_is_counted_as_errors_and_makes_it_degraded(
    settings: RetrieverSettings, judge_server: str, quality_port: int
) -> None:
    recorded = Recorded()
    with ExitStack() as exits:
        with running(settings) as api:
            client = exits.enter_context(
                quality(api, settings, judge_server, quality_port, canary_seconds=1)
            )
            until(lambda: client.get("/readyz").json()["status"] == "ready")
        until(lambda: recorded.total("rag.retrieval.canary", rag_result="error") >= 4)
        until(lambda: client.get("/readyz").json()["status"] == "degraded")
        assert client.get("/readyz").status_code == 200


SAMPLE = {"response_id": "r", "question": "q", "answer": "a", "sources": ["s"]}
REFUSED: dict[str, tuple[Any, int]] = {
    "no answer": (SAMPLE | {"answer": ""}, 422),
    "no sources": (SAMPLE | {"sources": []}, 422),
    "sources are text": (SAMPLE | {"sources": "s"}, 422),
    "too many sources": (SAMPLE | {"sources": ["s"] * 101}, 422),
    "a key that is not known": (SAMPLE | {"tenant": "default"}, 422),
    "a long id": (SAMPLE | {"response_id": "r" * 101}, 422),
    "a list": ([SAMPLE], 422),
    "no JSON": (b"{", 400),
    "not UTF-8": (b'{"answer": "\xff"}', 400),
    "empty": (b"", 422),
    "two megabytes": (SAMPLE | {"question": "q" * 2**21}, 413),
}


def test_what_is_no_sample_or_has_no_token_is_refused(
    filled: Api, settings: RetrieverSettings, judge_server: str, quality_port: int
) -> None:
    recorded = Recorded()
    with quality(filled, settings, judge_server, quality_port) as client:
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {TOKEN}"}):
            reply = client.post("/v1/evaluations", json=SAMPLE, headers=headers)
            assert reply.status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        client.headers["content-type"] = "application/json"
        for name, (body, status) in REFUSED.items():
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            reply = client.post("/v1/evaluations", content=content)
            assert reply.status_code == status, (name, reply.text)
            assert set(reply.json()["error"]) >= {"type", "message", "request_id"}
        assert recorded.total("rag.evaluation.eligible", rag_evaluator="judge") == 0
        reply = client.post("/v1/evaluations", json=SAMPLE)
        assert (reply.status_code, reply.json()) == (202, {"evaluators": ["judge"]})


def test_a_mistake_in_the_settings_is_one_line_at_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key")
    good = {"token_file": tmp_path / "key", "api_key_file": tmp_path / "key"}
    for wrong, words in (
        ({"token_file": tmp_path / "none"}, "secret file none"),
        ({"canaries": tmp_path / "key"}, "the canaries in key"),
        ({"detector": "hhem", "detector_path": tmp_path / "none"}, "no folder none"),
    ):
        settings = QualitySettings.model_validate(good | wrong)
        with pytest.raises((ValueError, OSError), match=words) as caught:
            create(settings)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ValueError, match="QUALITY_DETECTOR_PATH"):
        QualitySettings.model_validate(good | {"detector": "hhem"})
