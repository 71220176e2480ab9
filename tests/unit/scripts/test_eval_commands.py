"""Both commands of scripts/eval.py, end to end against a scripted retriever over HTTP."""

import json
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner, Result

from eval import app


class Fake(Protocol):
    url: str
    refuse: str
    degraded: list[str]
    ignore_not: bool
    fail_source: str
    wrong_offsets: bool
    searches: list[dict[str, Any]]
    chats: list[dict[str, Any]]
    documents: dict[str, dict[str, Any]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "result.json"


def run(command: str, data: Path, fake: Fake, key_file: Path, *options: str) -> Result:
    address = ["--data", str(data), "--url", fake.url, "--key-file", str(key_file)]
    return CliRunner().invoke(app, [command, *address, *options])


def test_retrieval_ingests_searches_and_writes_every_number(
    collection: Path, retriever: Fake, key_file: Path, out: Path
) -> None:
    result = run("retrieval", collection, retriever, key_file, "--top-k", "3", "--out", str(out))

    assert result.exit_code == 0, result.output
    assert "ndcg@3" in result.stdout
    written = json.loads(out.read_text())
    assert written["metrics"]["hit@1"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 3}
    assert written["blank_documents"] == ["blank"]
    assert written["ingest"]["added"] == 5
    assert {"cpu", "cores", "memory_gib"} <= written["machine"].keys()
    assert {"commit", "command", "seconds"} <= written.keys()
    assert written["latency_ms"]["p95"] > 0
    assert written["timings_ms"]["embed"]["p50"] == 2.0
    assert {query["query_id"] for query in written["queries"]} == {"q1", "q2", "q3"}
    assert written["failures"] == []
    assert retriever.documents["facts/sun"]["metadata"] == {"collection": "facts", "beir_id": "sun"}
    assert retriever.searches[0]["top_k"] == 9
    assert retriever.searches[0]["filters"] == {"collection": "facts"}
    assert "rerank" not in retriever.searches[0]


def test_a_second_ingest_is_reported_as_unchanged(
    collection: Path, retriever: Fake, key_file: Path
) -> None:
    run("retrieval", collection, retriever, key_file)

    result = run("retrieval", collection, retriever, key_file, "--mode", "sparse", "--rerank")

    assert "0 added, 0 replaced, 5 unchanged, 1 left out as blank" in result.stderr
    assert retriever.searches[-1]["mode"] == "sparse"
    assert retriever.searches[-1]["rerank"] is True


def test_a_query_that_fails_is_reported_and_fails_the_command(
    collection: Path, retriever: Fake, key_file: Path, out: Path
) -> None:
    retriever.refuse = "Mars"

    result = run("retrieval", collection, retriever, key_file, "--out", str(out))

    assert result.exit_code == 1
    assert "1 queries could not be measured" in result.stdout
    written = json.loads(out.read_text())
    assert written["n"] == 2
    assert [failure["id"] for failure in written["failures"]] == ["q2"]
    assert "503 unavailable: embedding is down (request r-1)" in written["failures"][0]["message"]


@pytest.mark.parametrize("command", ["retrieval", "answers"])
def test_a_degraded_reply_is_not_measured(
    command: str, collection: Path, retriever: Fake, key_file: Path
) -> None:
    retriever.degraded = ["embedding"]

    result = run(command, collection, retriever, key_file)

    assert result.exit_code == 1
    assert "the reply was degraded: embedding down" in result.stdout


def test_a_document_that_is_not_indexed_ends_the_command_before_it_measures(
    collection: Path, retriever: Fake, key_file: Path
) -> None:
    retriever.fail_source = "facts/tea"

    result = run("retrieval", collection, retriever, key_file)

    assert result.exit_code == 1
    assert "facts/tea: no words in it" in " ".join(result.stderr.split())
    assert retriever.searches == []


@pytest.mark.parametrize("command", ["retrieval", "answers"])
def test_a_refused_or_missing_key_is_one_clear_line(
    command: str, collection: Path, retriever: Fake, tmp_path: Path
) -> None:
    (tmp_path / "bad-key").write_text("wrong")

    refused = run(command, collection, retriever, tmp_path / "bad-key")
    missing = run(command, collection, retriever, tmp_path / "no-key")

    assert refused.exit_code == missing.exit_code == 1
    assert "401 unauthorized: no such key" in " ".join(refused.stderr.split())
    assert "start the stack with" in " ".join(missing.stderr.split())


def test_no_retriever_is_one_clear_line(collection: Path, retriever: Fake, key_file: Path) -> None:
    retriever.url = "http://127.0.0.1:9"

    result = run("retrieval", collection, retriever, key_file)

    assert result.exit_code == 1
    assert "GET /readyz: ConnectError" in result.stderr


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_answers_are_judged_for_gold_citations_and_abstention(
    stream: str,
    collection: Path,
    foreign_collection: Path,
    retriever: Fake,
    key_file: Path,
    out: Path,
) -> None:
    options = ["--foreign", str(foreign_collection), "--out", str(out), "--show", "2", stream]

    result = run("answers", collection, retriever, key_file, *options)

    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["n"] == {"answerable": 3, "left_out": 3, "foreign": 1}
    values = {
        kind: {name: number["value"] for name, number in metrics.items()}
        for kind, metrics in written["metrics"].items()
    }
    answerable = values["answerable"]
    assert answerable["contains gold, of asked"] == 1.0
    assert answerable["citation precision"] == 1.0
    assert answerable["citation recall, of answered"] == 1.0
    assert answerable["citations that verify"] == 1.0
    assert answerable["false abstention, of asked"] == 0.0
    assert answerable["supported, of those with gold"] == 1.0
    assert answerable["supported, of those without gold"] is None
    assert values["left_out"]["abstained, of asked"] == 1.0
    assert values["foreign"]["abstained, of asked"] == 1.0
    assert written["costs"]["answerable"]["completion_tokens"]["p50"] == 10
    assert written["costs"]["foreign"]["completion_tokens"] is None
    assert (written["costs"]["answerable"]["first_token_ms"] is not None) == (stream == "--stream")
    assert written["settings"]["model"] == "fake-model"
    (armstrong,) = (r for r in written["records"] if r["kind"] == "answerable" and r["id"] == "q1")
    assert armstrong["answer"] == "It was visited by Neil Armstrong in 1969. [1]"
    assert armstrong["citations"][0]["gold"] is True
    assert armstrong["finish_reason"] == "stop"
    excluded = [chat["rag"]["filters"].get("not") for chat in retriever.chats]
    assert {"source": ["facts/moon"]} in excluded


def test_a_filter_that_is_not_kept_fails_the_left_out_questions(
    collection: Path, retriever: Fake, key_file: Path
) -> None:
    retriever.ignore_not = True

    result = run("answers", collection, retriever, key_file)

    assert result.exit_code == 1
    assert "left_out:q1: the paragraph that was to be left out was retrieved" in result.stdout


def test_citations_that_do_not_verify_are_counted_and_shown(
    collection: Path, retriever: Fake, key_file: Path, out: Path
) -> None:
    retriever.wrong_offsets = True

    result = run("answers", collection, retriever, key_file, "--out", str(out), "--show", "3")

    written = json.loads(out.read_text())
    assert written["metrics"]["answerable"]["citations that verify"]["value"] == 0.0
    assert result.stdout.count("DOES NOT VERIFY") == 3


def test_a_folder_without_answers_cannot_be_asked(
    collection: Path, retriever: Fake, key_file: Path
) -> None:
    queries = (collection / "queries.jsonl").read_text().splitlines()
    plain = [{k: v for k, v in json.loads(line).items() if k != "answers"} for line in queries]
    (collection / "queries.jsonl").write_text("\n".join(map(json.dumps, plain)))

    result = run("answers", collection, retriever, key_file)

    assert result.exit_code == 1
    assert "no question in" in result.stderr


def with_turns(collection: Path, *last: str) -> Path:
    """The collection's queries, each after an earlier question of the user's."""
    path = collection / "queries.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[: len(last)]:
        row["turns"] = [
            {"role": "user", "content": row["text"]},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": last[rows.index(row)]},
        ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return collection


def test_a_conversation_is_asked_whole_and_beside_its_last_turn_alone(
    collection: Path, retriever: Fake, key_file: Path, out: Path
) -> None:
    # The scripted retriever looks at the last turn alone, so both ways find the same.
    data = with_turns(collection, "And who visited Neil Armstrong?", "Why that colour?")

    result = run("conversations", data, retriever, key_file, "--top-k", "2", "--out", str(out))

    assert result.exit_code == 0, result.output
    asked = {chat["messages"][0]["content"]: chat for chat in retriever.chats}
    assert set(asked) == {"Who visited the Moon in 1969?", "What gives Mars its red colour?"}
    for chat in asked.values():
        assert [turn["role"] for turn in chat["messages"]] == ["user", "assistant", "user"]
        assert chat["rag"] == {"top_k": 2, "filters": {"collection": "facts"}}
        assert chat["max_tokens"] == 1
    alone = {search["query"] for search in retriever.searches}
    assert alone == {"And who visited Neil Armstrong?", "Why that colour?"}
    written = json.loads(out.read_text())
    assert written["n"] == 2
    assert set(written["metrics"]) == {"in the conversation", "the last turn alone", "more"}
    assert written["metrics"]["in the conversation"]["recall@2"]["value"] == 1.0
    assert written["metrics"]["more"]["recall@2"]["value"] == 0.0


def test_a_collection_without_conversations_or_with_broken_ones_is_refused(
    collection: Path, retriever: Fake, key_file: Path
) -> None:
    none = run("conversations", collection, retriever, key_file)
    assert none.exit_code == 1
    assert "no judged conversation of several" in " ".join(none.stderr.split())
    path = collection / "queries.jsonl"
    whole = path.read_text()
    row = json.loads(whole.splitlines()[0])
    broken: list[object] = [
        "words",
        ["words"],
        [{"role": "user"}],
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
    ]
    for turns in broken:
        path.write_text(json.dumps(row | {"turns": turns}) + "\n" + whole.split("\n", 1)[1])
        refused = run("conversations", collection, retriever, key_file)
        assert refused.exit_code == 1
        assert "queries.jsonl:1" in "".join(refused.stderr.split())
