"""The loader of BEIR folders: what it reads, and what it says of a broken one."""

import json
from pathlib import Path

import pytest

from evaluation.beir import Query, load, sample
from evaluation.errors import DatasetError

HEADER = "query-id\tcorpus-id\tscore\n"
CORPUS = '{"_id": "d1", "title": "One", "text": "first"}\n{"_id": "d2", "text": "second"}\n'
QUERIES = '{"_id": "q1", "text": "which?"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small" / "qrels").mkdir(parents=True)
    (tmp_path / "small/corpus.jsonl").write_text(CORPUS)
    (tmp_path / "small/queries.jsonl").write_text(QUERIES)
    (tmp_path / "small/qrels/test.tsv").write_text(f"{HEADER}q1\td1\t2\nq1\td2\t0\n")
    return tmp_path / "small"


def test_a_folder_is_read_and_named(folder: Path) -> None:
    dataset = load(folder)

    assert dataset.name == "small"
    assert dataset.corpus["d2"].title == ""
    assert dataset.qrels == {"q1": {"d1": 2, "d2": 0}}
    assert dataset.relevant("q1") == {"d1"}
    assert dataset.source("d1") == "small/d1"


@pytest.mark.parametrize("row", [{"answers": ["yes"]}, {"metadata": {"answers": ["yes"]}}])
def test_answers_are_read_beside_the_text_or_in_the_metadata(
    folder: Path, row: dict[str, object]
) -> None:
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "which?"} | row))

    assert load(folder).queries["q1"] == Query("q1", "which?", ("yes",))


def test_line_separators_inside_a_text_do_not_end_its_line(folder: Path) -> None:
    text = "one\u2028two\x85three"
    row = json.dumps({"_id": "d2", "text": text}, ensure_ascii=False)
    (folder / "corpus.jsonl").write_bytes(f'{{"_id": "d1", "text": "x"}}\r\n{row}\r\n'.encode())

    assert load(folder).corpus["d2"].text == text


def test_a_document_without_text_is_its_title_and_without_either_is_blank(folder: Path) -> None:
    rows = '{"_id": "d1", "title": "Only", "text": " "}\n{"_id": "d2", "title": "", "text": ""}\n'
    (folder / "corpus.jsonl").write_text(rows)

    dataset = load(folder)

    assert dataset.corpus["d1"].body == "Only"
    assert dataset.blank == ["d2"]


BROKEN = [
    ("corpus.jsonl", '{"_id": "d1"}', r"corpus\.jsonl:1: 'text' is missing"),
    ("corpus.jsonl", '{"_id": 1, "text": "x"}', "'_id' is missing or not a string"),
    ("corpus.jsonl", '{"_id": "", "text": "x"}', "'_id' is empty"),
    ("corpus.jsonl", "\n\n{", r"corpus\.jsonl:3: not JSON"),
    ("corpus.jsonl", "[1]", "not a JSON object"),
    ("corpus.jsonl", "", "is empty"),
    ("corpus.jsonl", CORPUS + CORPUS, r"corpus\.jsonl:3: document 'd1' is there twice"),
    ("queries.jsonl", QUERIES + QUERIES, r"queries\.jsonl:2: query 'q1' is there twice"),
    ("queries.jsonl", '{"_id": "q1", "text": " "}', "has no text"),
    ("queries.jsonl", '{"_id": "q1", "text": "x", "answers": "y"}', "must be a list of strings"),
    ("qrels/test.tsv", "", "the first line must be"),
    ("qrels/test.tsv", "q1\td1\t1\n", "the first line must be"),
    ("qrels/test.tsv", HEADER, "nothing is judged"),
    ("qrels/test.tsv", f"{HEADER}q1 d1 1\n", "1 tab-separated fields, not 3"),
    ("qrels/test.tsv", f"{HEADER}q9\td1\t1\n", "query 'q9' is not in queries.jsonl"),
    ("qrels/test.tsv", f"{HEADER}q1\td9\t1\n", "document 'd9' is not in corpus.jsonl"),
    ("qrels/test.tsv", f"{HEADER}q1\td1\thigh\n", "'high' is not a whole number"),
    ("qrels/test.tsv", f"{HEADER}q1\td1\t1\nq1\td1\t1\n", r"test\.tsv:3: .* judged twice"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_a_broken_file_is_refused_by_name(
    folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)

    with pytest.raises(DatasetError, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(DatasetError, match=f"{name} is missing"):
        load(folder)


def test_a_missing_folder_and_bad_bytes_are_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").write_bytes(b"\xff\xfe")

    with pytest.raises(DatasetError, match="cannot be read"):
        load(folder)
    with pytest.raises(DatasetError, match="is not a folder"):
        load(folder / "nowhere")


def test_a_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    ids = [str(n) for n in range(50)]

    assert sample(ids, 10, seed=1) == sample(ids[::-1], 10, seed=1)
    assert sample(ids, 10, seed=1) != sample(ids, 10, seed=2)
    assert sample(ids, 10, seed=1) == sample(ids, 20, seed=1)[:10]
    assert sorted(sample(ids, None, seed=1)) == sorted(ids)
    assert len(sample(ids, 99, seed=1)) == 50
