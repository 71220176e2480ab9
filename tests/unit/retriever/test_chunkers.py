"""Another package cuts texts into chunks; what it gives is checked before it is embedded."""

from pathlib import Path

import pytest
from packages import install
from rig import tokenizer_json
from tokenizers import Tokenizer

from retriever.ingest.chunk import Chunk
from retriever.ingest.chunkers import GROUP, BadChunks, Own, check_chunker
from retriever.ingest.chunking import ChunkerPool

LINES = """
from retriever.ingest.chunk import Chunk
from retriever.ingest.chunkers import Plugin

def make(tokenizer, max_tokens, overlap_tokens):
    def cut(text, headings, markdown):
        if text == "raise":
            raise KeyError("secret words")
        if text == "outside":
            return [Chunk(0, 900)]
        if text == "empty":
            return [Chunk(2, 2)]
        if text == "back":
            return [Chunk(2, 4), Chunk(0, 2)]
        if text == "tuple":
            return [(0, 2)]
        if text == "float":
            return [Chunk(0.0, 2)]
        if text == "none":
            return []
        if text == "nothing":
            return None
        if text.startswith("long"):
            return [Chunk(0, len(text))]
        at, found = 0, []
        for line in text.splitlines(keepends=True):
            if line.strip():
                found.append(Chunk(at, at + len(line.rstrip()), "Lines"))
            at += len(line)
        return found
    return cut

def cannot(tokenizer, max_tokens, overlap_tokens):
    raise RuntimeError("no licence")

LINES, CANNOT, FUNCTION = Plugin(make), Plugin(cannot), make
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"lines": "LINES", "cannot": "CANNOT", "function": "FUNCTION"}
    install(tmp_path / "site", "line_chunker", LINES, GROUP, names)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


async def test_the_chunker_that_the_setting_names_cuts_in_its_own_process() -> None:
    text = "One line.\n\nÜber two.\n"
    pool = ChunkerPool(tokenizer_json(), 64, 8, chunker="lines")
    try:
        chunks = await pool.split(text, (), False)
        assert chunks == [Chunk(0, 9, "Lines"), Chunk(11, 20, "Lines")]
        assert [text[one.start : one.end] for one in chunks] == ["One line.", "Über two."]
        with pytest.raises(BadChunks, match="not in a text of 7 characters"):
            await pool.split("outside", (), False)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [("words", "there is cannot, function, lines"), ("function", "is no Plugin")],
)
def test_a_chunker_that_is_none_is_told_at_start(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_chunker(name)


def test_no_name_is_our_own_and_loads_nothing() -> None:
    check_chunker("")


def test_a_chunker_that_cannot_be_made_is_told() -> None:
    with pytest.raises(ValueError, match="'cannot' cannot be made: no licence"):
        ChunkerPool(tokenizer_json(), 64, 8, chunker="cannot")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise", r"broke off \(KeyError\)"),
        ("outside", "not in a text of 7 characters"),
        ("empty", "not in a text of"),
        ("tuple", "not in a text of"),
        ("float", "not in a text of"),
        ("back", "out of order"),
        ("none", "no chunk of a text"),
        ("nothing", r"broke off \(TypeError\)"),
        ("long " * 200, "tokens, and 64 fit"),
    ],
)
def test_nonsense_is_refused_in_words_without_the_texts_own(text: str, words: str) -> None:
    own = Own("lines", Tokenizer.from_str(tokenizer_json()), 64, 8)
    with pytest.raises(BadChunks, match=words) as caught:
        own.split(text, (), False)
    assert "secret" not in str(caught.value)
