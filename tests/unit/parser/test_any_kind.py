"""What holds of every kind of document: its words, citations that are exact, and damaged ones."""

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, mutated, survives
from making import read
from rig import tokenizer_json
from tokenizers import Tokenizer

from retriever.answer.ground import Evidence
from retriever.index.model import Hit
from retriever.ingest.chunk import Chunker
from retriever.parsed import Heading, page_at

MUTANTS = 40
"""Of each kind; `make fuzz` tries as many as it is told to."""

SAID = st.lists(
    st.tuples(
        st.sampled_from(["Crane", "Quay", "Depot", "Ferry"]),
        st.integers(100, 99_999),
        st.sampled_from(["tonnes", "euros", "metres"]),
    ).map(lambda said: f"The {said[0]} of row {said[1]} holds {said[1] + 7} {said[2]} today."),
    min_size=1,
    max_size=8,
    unique=True,
)


@cache
def chunker() -> Chunker:
    return Chunker(Tokenizer.from_str(tokenizer_json()), 40, 8)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=4)
@given(said=SAID)
def test_what_was_said_is_found_and_cited_as_it_stands_on_its_page(
    name: str, said: list[str]
) -> None:
    parsed = read(KINDS[name](said), name)
    text = parsed.text
    marks = [Heading(*one) for one in parsed.headings]
    hits = [
        Hit(
            str(n), "d", "t", "s", page_at(parsed.pages, chunk.start), chunk.start, chunk.end,
            text[chunk.start : chunk.end], 1.0, table_header=chunk.table_header,
            page_breaks=tuple(start for start in parsed.pages if chunk.start < start < chunk.end),
        )
        for n, chunk in enumerate(chunker().split(text, marks, parsed.markdown))
    ]  # fmt: skip
    evidence = Evidence("What does it hold?", hits, hits, "english", 0.6)
    for n, sentence in enumerate(said):
        support = evidence.support(sentence)
        assert support is not None and support.supported
        assert text[support.start : support.end] == support.quote
        assert sentence in " ".join(support.quote.split())
        if name == "a.pdf":
            assert support.hit.page_at(support.start) == n + 1


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_document_is_read_or_refused_in_words(name: str) -> None:
    chance = random.Random(name)
    seed = KINDS[name](["The crane lifts 40 tonnes.", "A café – “open” at 7."])
    assert survives(seed, name) is not None
    for _ in range(MUTANTS):
        survives(mutated(seed, chance), name)
