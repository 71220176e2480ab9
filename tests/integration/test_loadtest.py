"""The load test against the real retriever: what it reads of the replies is what they hold."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rig import KEY, PORTS, Api, Neighbour
from scripted_llm import ScriptedLLM

from loading.run import Options, Workload, measure
from loading.schedule import Arrivals

QUESTION = "Which port does the retriever listen on?"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "title": "P", "text": PORTS}))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": QUESTION}))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    return folder


def load(api: Api, data: Path, workload: Workload, **more: Any) -> dict[str, Any]:
    options = Options(
        str(api.base_url),
        data,
        workload,
        KEY,
        rate=5,
        duration=1,
        arrivals=Arrivals.constant,
        mix="zipf",
        **more,
    )
    result, _ = asyncio.run(measure(options))
    calls: dict[str, Any] = result["summary"]["calls"]
    return calls


def test_search_is_timed_by_stage_and_judged(api: Api, data: Path) -> None:
    api.ingest({"text": PORTS, "title": "P", "source": "small/d1"})
    search = load(api, data, Workload.search)["search"]
    assert (search["requests"], search["errors"]) == (5, {})
    assert search["quality"]["hit"]["value"] == 1
    assert {"embed", "search", "total"} <= search["stages"].keys()


def test_chat_is_streamed_and_judged_beside_ingestion(
    api: Api, data: Path, llm: ScriptedLLM
) -> None:
    api.ingest({"text": PORTS, "title": "P", "source": "small/d1"})
    llm.say("The retriever listens on port 8080.")
    calls = load(api, data, Workload.ingest, ingest_rate=2)
    chat, ingest = calls["chat"], calls["ingest"]
    assert (chat["requests"], chat["errors"]) == (5, {})
    assert (ingest["requests"], ingest["errors"]) == (2, {})
    assert chat["quality"]["hit"]["value"] == 1
    assert chat["quality"]["unsupported"]["value"] == 0
    assert chat["first_token_ms"]["n"] == 5
    assert chat["tokens"]["completion"] > 0
    assert "generate" in chat["stages"]


def test_the_embedding_service_is_loaded_as_any_openai_endpoint(
    embedding_server: Neighbour, data: Path
) -> None:
    options = Options(embedding_server.url + "/v1", data, Workload.embeddings, rate=5, duration=1)
    result, outcomes = asyncio.run(measure(options))
    assert result["summary"]["all"]["errors"] == {}
    assert all(outcome.prompt_tokens for outcome in outcomes)


def test_a_wrong_key_is_counted_and_not_hidden(api: Api, data: Path) -> None:
    options = Options(str(api.base_url), data, key="bh_wrong", rate=5, duration=1)
    result, outcomes = asyncio.run(measure(options))
    assert result["summary"]["all"]["errors"] == {"http 401": len(outcomes)}
