"""What a corpus holds is read as documents, and what is none of them is named with its reason."""

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk import read
from bulk.corpus import DOCUMENTS, Corpus, CorpusError
from bulk.model import Failed, Found, grouped, packed, unpacked
from bulk.read import documents, size
from bulk.rows import Columns, Taking
from client.upload import KINDS
from retriever.ingest.items import EXTRACTED

TAKING = Taking(("blue", "red"), Columns(), 1000)


def taken(source: Path | str, taking: Taking = TAKING, prefix: str = "") -> list[Found | Failed]:
    """All that a corpus holds."""
    corpus = Corpus(str(source), prefix)
    plan = corpus.plan()
    found = [one for piece in plan.pieces for one in documents(corpus, piece, taking)]
    return [*found, *(Failed(file.name, reason) for file, reason in plan.unreadable)]


def sources(ones: Sequence[Found | Failed]) -> list[str | None]:
    return [one.new.source if isinstance(one, Found) else one.source for one in ones]


def reasons(ones: Sequence[Found | Failed]) -> dict[str, str]:
    return {one.place: one.reason for one in ones if isinstance(one, Failed)}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def found(one: Found | Failed) -> Found:
    assert isinstance(one, Found), one
    return one


def test_a_folder_gives_its_documents_under_their_paths_in_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "u\u0308ber.md").write_text("# Over")  # as file systems decompose it
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("no")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.md").write_text("no")

    ones = taken(tmp_path, prefix="wiki/")

    assert sources(ones) == ["wiki/a.pdf", "wiki/sub/\u00fcber.md"]
    assert Corpus(str(tmp_path)).plan().skipped == ["photo.png"]
    new = found(ones[0]).new
    assert (new.media_type, new.title, new.groups) == ("application/pdf", None, ("blue", "red"))


def test_one_file_is_a_corpus(tmp_path: Path) -> None:
    assert sources(taken(lines(tmp_path / "a.jsonl", {"text": "a", "source": "s"}))) == ["s"]


def test_the_files_of_a_folder_are_those_that_make_ingest_takes() -> None:
    assert DOCUMENTS == KINDS


def test_rows_have_text_title_source_groups_and_metadata(tmp_path: Path) -> None:
    row = {"text": "A.", "title": "T", "source": "s", "groups": ["red"], "year": 2020, "gone": None}

    (one,) = map(found, taken(lines(tmp_path / "a.jsonl", row)))

    assert (one.data, one.new.title, one.new.source) == (b"A.", "T", "s")
    assert (one.new.groups, one.new.metadata) == (("red",), {"year": 2020})
    assert (one.new.media_type, one.new.upload) == (EXTRACTED, "a.jsonl, line 1")


def test_columns_go_by_other_names(tmp_path: Path) -> None:
    row = {"body": "A.", "id": 7, "name": "N", "lang": "en", "links": {"a": 1}}
    columns = Columns("body", "name", "id", metadata=("lang",))

    (one,) = map(found, taken(lines(tmp_path / "a.jsonl", row), Taking((), columns, 1000)))

    assert (one.data, one.new.title, one.new.source) == (b"A.", "N", "7")
    assert one.new.metadata == {"lang": "en"}


def test_a_metadata_column_holds_fields_of_its_own(tmp_path: Path) -> None:
    row = {"text": "A.", "metadata": {"lang": "en"}, "year": 2020}
    (one,) = map(found, taken(lines(tmp_path / "a.jsonl", row)))
    assert one.new.metadata == {"lang": "en", "year": 2020}


def test_a_row_without_a_source_is_called_as_the_api_calls_it(tmp_path: Path) -> None:
    ones = taken(lines(tmp_path / "a.jsonl", {"text": "A.", "title": "T"}, {"text": "B."}))
    assert sources(ones)[0] == "T"
    assert str(sources(ones)[1]).startswith("text:")


BAD: dict[str, tuple[Any, str]] = {
    "not an object": ([1], "a document is a JSON object"),
    "no text": ({"source": "s"}, "text: "),
    "an empty text": ({"text": ""}, "text: "),
    "a text that is a number": ({"text": 5}, "text: "),
    "a title that is a list": ({"text": "a", "title": ["t"]}, "title: "),
    "a text that is too large": ({"text": "a" * 1001}, "at most 1000 bytes"),
    "a group that the run has not": ({"text": "a", "groups": ["green"]}, "groups: 'green'"),
    "a group that cannot be one": ({"text": "a", "groups": ["a b"]}, "groups.0: "),
    "metadata in metadata": ({"text": "a", "deep": {"a": 1}}, "metadata.deep: "),
    "a tool's name": ({"text": "a", "source": "tool:x"}, "source: "),
    "half of a surrogate pair": ({"text": "\ud800"}, "surrogate"),
    "a NUL in its source": ({"text": "a", "source": "a\0b"}, "NUL"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_row_that_is_no_document_fails_alone_and_says_why(case: str, tmp_path: Path) -> None:
    row, reason = BAD[case]
    ones = taken(lines(tmp_path / "a.jsonl", {"text": "before"}, row, {"text": "after"}))
    assert [type(one) for one in ones] == [Found, Failed, Found]
    assert reason in reasons(ones)["a.jsonl, line 2"]


def test_a_wrong_line_fails_alone_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "first"}\n\n{"text": "cut off\n{"text": "caf\xe9"}\r\n'
        b'{"text": "last"}'
    )

    ones = taken(path)

    assert [one.data for one in ones if isinstance(one, Found)] == [b"first", b"last"]
    told = reasons(ones)
    assert list(told) == ["a.jsonl, line 3", "a.jsonl, line 4"]
    assert "not JSON" in told["a.jsonl, line 3"]
    assert told["a.jsonl, line 4"] == "not UTF-8 at byte 13 of the line"


@pytest.mark.parametrize("piece", [1, 7, 16, 40, 64, 1000])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_each_line_is_read_once_wherever_a_file_is_cut(
    piece: int, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulk.corpus._PIECE_BYTES", piece)
    monkeypatch.setattr(read, "_STEP_BYTES", 5)
    texts = ["a", "bb" * 30, "", "\u00e4\u00f6", "last"]
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": one}, ensure_ascii=False) if one else "" for one in texts]
    path.write_text("\n".join(rows) + ending, "utf-8")

    ones = [found(one) for one in taken(path)]

    assert [one.data.decode() for one in ones] == [one for one in texts if one]
    assert len({one.new.upload for one in ones}) == len(ones)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_line_without_an_end_is_not_read_into_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_LINE_EXTRA", 0)
    told = b'{"text": "a"}\n' + b"x" * 50_000 + b'\n{"text": "b"}\n'
    (tmp_path / name).write_bytes(gzip.compress(told) if name.endswith("gz") else told)

    ones = taken(tmp_path)

    assert [one.data for one in ones if isinstance(one, Found)] == [b"a", b"b"]
    assert reasons(ones) == {f"{name}, line 2": "a line has at most 1000 bytes"}


def test_packed_lines_are_read_and_a_damaged_end_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"text": "%d"}\n' % n for n in range(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    (tmp_path / "b.jsonl.gz").write_bytes(whole[: len(whole) // 2])

    ones = taken(tmp_path)

    (told,) = reasons(ones)
    assert told.startswith("b.jsonl.gz after ")
    good = [one for one in ones if isinstance(one, Found)]
    assert sum(one.new.upload.startswith("a.") for one in good) == 5000
    assert len(good) > 5000


def table(path: Path, columns: dict[str, Any], rows: int = 3) -> None:
    pq.write_table(pa.table(columns), path, row_group_size=rows)


def test_parquet_gives_its_rows_with_what_arrow_has_and_json_has_not(tmp_path: Path) -> None:
    table(
        tmp_path / "a.parquet",
        {
            "text": [f"t{n}" for n in range(10)],
            "source": list(range(10)),
            "day": [date(2024, 5, n + 1) for n in range(10)],
            "score": [float("nan")] * 10,
            "tags": [["a", None]] * 10,
        },
    )

    ones = [found(one) for one in taken(tmp_path)]

    assert [one.data for one in ones] == [b"t%d" % n for n in range(10)]
    assert [one.new.upload for one in ones] == [f"a.parquet, row {n}" for n in range(1, 11)]
    assert ones[0].new.source == "0"
    assert ones[0].new.metadata == {"day": "2024-05-01", "score": None, "tags": ["a"]}
    assert Corpus(str(tmp_path)).plan().documents == 10


def test_a_parquet_file_that_cannot_be_read_costs_no_other(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", {"text": ["good"]})
    (tmp_path / "b.parquet").write_bytes(b"PAR1 is not enough")
    (tmp_path / "c.parquet").write_bytes(b"")
    table(tmp_path / "d.parquet", {"body": ["no text"]})
    table(tmp_path / "e.parquet", {"text": [1, 2]})
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "f.parquet").write_bytes(whole[:4] + b"\xff" * 20 + whole[24:])

    ones = taken(tmp_path)

    assert [one.data for one in ones if isinstance(one, Found)] == [b"good"]
    told = reasons(ones)
    assert "text" in told["d.parquet"]
    assert told["e.parquet, row 1"].startswith("text: ")
    assert {place.split(".")[0] for place in told} == {"b", "c", "d", "e", "f"}


def test_a_file_that_is_too_large_is_named_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * 1001)
    assert reasons(taken(tmp_path)) == {"a.txt": "a document may hold at most 1000 bytes"}


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("good")
    Path(str(tmp_path) + "/a\udcff.txt").write_text("bad")
    assert sources(taken(tmp_path)) == [None, "b.txt"]


def test_a_file_system_that_fails_is_asked_again_and_nothing_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_PAUSE_SECONDS", 0)
    for n in range(4):
        (tmp_path / f"{n}.txt").write_text(str(n))
    calls = iter([False, True, True, False, True, False, False, False, False, False])
    whole = Corpus.read

    def failing(self: Corpus, file: Any, start: int, end: int) -> bytes:
        if next(calls):
            raise TimeoutError("the bucket is slow")
        return whole(self, file, start, end)

    monkeypatch.setattr(Corpus, "read", failing)
    assert [found(one).data for one in taken(tmp_path)] == [b"0", b"1", b"2", b"3"]


def test_a_corpus_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for source in (str(tmp_path / "none"), "", "\0", "nosuch://a/b", "ftp://me:secret@host/a"):
        with pytest.raises(CorpusError) as told:
            Corpus(source).plan()
        assert "secret" not in str(told.value)


def test_an_empty_corpus_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    table(tmp_path / "b.parquet", {"text": pa.array([], pa.string())})
    assert taken(tmp_path) == []
    assert Corpus(str(tmp_path)).plan().documents == 0


def test_a_corpus_is_known_by_the_same_name_however_it_is_written(tmp_path: Path) -> None:
    names = {Corpus(one).name for one in (str(tmp_path), f"{tmp_path}/", f"file://{tmp_path}")}
    assert len(names) == 1


def group_of(sizes: Sequence[int]) -> list[Found | Failed]:
    make: Callable[[int], Found] = lambda size: Found(None, b"x" * size)  # type: ignore[arg-type]  # noqa: E731
    return [make(size) for size in sizes]


def test_groups_are_bounded_by_documents_and_bytes_and_hold_all() -> None:
    ones = group_of([5, 5, 200, 5, *[1] * 30])
    groups = list(grouped(ones, size, 100, 10))
    assert [one for group in groups for one in group] == ones
    assert [len(group) for group in groups[:3]] == [2, 1, 10]
    assert all(len(group) <= 10 for group in groups)


def test_a_batch_without_columns_holds_no_group() -> None:
    assert list(unpacked({})) == []
    assert list(unpacked(packed([]))) == [[]]
