"""The file of labelled questions: read strictly, and the bundled one true."""

import json
from pathlib import Path

import pytest

from parser.model import ParseLimits
from parser.parse import parse
from quality.canaries import Labelled, read
from quality.settings import QualitySettings

ROOT = Path(__file__).parents[3]

BAD = {
    "no JSON": b"{",
    "not UTF-8": b'{"retrieval": [{"question": "\xff", "source": "a"}]}',
    "empty": b"",
    "a list": b"[]",
    "no question to be found": b'{"retrieval": [], "declined": ["What?"]}',
    "no source": b'{"retrieval": [{"question": "What?"}]}',
    "an empty question": b'{"retrieval": [{"question": "", "source": "a"}]}',
    "a key that is not known": b'{"retrieval": [{"question": "q", "source": "a", "txt": "x"}]}',
    "a number as source": b'{"retrieval": [{"question": "q", "source": 1}]}',
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_set_of_canaries_is_refused_in_words(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"the canaries in mine\.json"):
        read(file)


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.json") as caught:
        read(tmp_path / "mine.json")
    assert str(tmp_path) not in str(caught.value)


def test_a_chunk_answers_only_with_the_words_and_from_the_source() -> None:
    labelled = Labelled(question="Which port?", source="a.md", text="port  8080")
    assert labelled.answered_by("a.md", "It listens on Port\n8080.")
    assert not labelled.answered_by("b.md", "It listens on port 8080.")
    assert not labelled.answered_by("a.md", "It listens on port 8081.")
    assert Labelled(question="Which?", source="a.md").answered_by("a.md", "anything")


def test_the_bundled_labels_stand_in_the_demos_documents() -> None:
    canaries = read(QualitySettings().canaries)
    for labelled in canaries.retrieval:
        path = ROOT / labelled.source
        text = parse(path.read_bytes(), path.name, None, ParseLimits()).text
        assert labelled.answered_by(labelled.source, text), labelled.question


def test_the_bundled_passages_to_judge_by_stand_in_the_demos_documents() -> None:
    folder = ROOT / "examples/source"
    texts = [" ".join(path.read_text().split()) for path in folder.iterdir()]
    judged = read(QualitySettings().canaries).judged
    assert {one.supported for one in judged} == {True, False}
    for one in judged:
        assert any(one.passage in text for text in texts), one.statement


def test_no_bundled_question_is_asked_twice() -> None:
    canaries = json.loads(QualitySettings().canaries.read_text())
    asked = [one["question"] for one in canaries["retrieval"]] + canaries["declined"]
    assert len(set(asked)) == len(asked)
