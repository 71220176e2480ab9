"""Citations and grounding: the server's markers, on what the sources say, and on nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.answer.cite import CitingStream
from retriever.answer.ground import Evidence
from retriever.index.model import Hit

TEXT = (
    "# Ports\n\nThe retriever listens on port 8080. The embedding service listens on port 8081.\n\n"
    "Qdrant keeps the vectors of 1,200 chunks. Marta Lindqvist restarted it on 4 May 2026."
)
OTHER = "The canteen serves soup at noon. Parking costs 3 euros a day."


def hit(text: str, number: int, offset: int = 0) -> Hit:
    return Hit(
        chunk_id=f"chunk-{number}",
        document_id=f"document-{number}",
        title="Ports",
        source="ports.md",
        page=None,
        start=offset,
        end=offset + len(text),
        text=text,
        score=1.0,
    )


HITS = [hit(TEXT, 1, offset=100), hit(OTHER, 2)]


def evidence(question: str = "Which port does the retriever listen on?") -> Evidence:
    return Evidence(question, HITS, HITS, "english", 0.6)


def cite(answer: str, step: int = 4, question: str | None = None) -> tuple[str, CitingStream]:
    stream = CitingStream(evidence(question) if question else evidence())
    pieces = [stream.feed(answer[i : i + step]) for i in range(0, len(answer), step)]
    return "".join(pieces) + stream.end(), stream


def test_a_supported_sentence_gets_a_marker_and_an_exact_quote() -> None:
    text, stream = cite("The retriever listens on port 8080.")
    (citation,) = stream.citations
    assert text == "The retriever listens on port 8080. [1]"
    assert citation.quote == "The retriever listens on port 8080."
    assert TEXT[citation.start - 100 : citation.end - 100] == citation.quote
    assert (citation.marker, citation.document_id) == ("1", "document-1")
    assert stream.grounding().supported


def test_the_marker_stands_before_the_space_of_the_next_sentence() -> None:
    text, _ = cite("The retriever listens on port 8080. Parking costs 3 euros a day.")
    assert text == "The retriever listens on port 8080. [1] Parking costs 3 euros a day. [2]"


def test_the_same_quote_keeps_its_marker() -> None:
    text, stream = cite("The retriever listens on port 8080.\n- It listens on port 8080.")
    assert text.count("[1]") == 2
    assert len(stream.citations) == 1


NIGHTLY = (
    "# Backups\n\nThe nightly backup of the host rudder starts at 02:15. It takes 40 minutes.\n\n"
    "The disk of the host is checked on Mondays. Nobody may stop it.\n\n"
    "Old tapes lie in a vault near Hamburg. They are burned each spring by two guards."
)
KEPT = "Backups are kept for 35 days, on two sites."
COMPOUND = {
    "two chunks": (
        "The nightly backup starts at 02:15 and backups are kept for 35 days.",
        ["at 02:15", "35 days"],
    ),
    "two documents": (
        "The nightly backup starts at 02:15, and the canteen serves soup at noon.",
        ["at 02:15", "soup"],
    ),
    "two places of a chunk": (
        "The backup of the host rudder starts at 02:15 and tapes in the vault near Hamburg are "
        "burned by guards each spring.",
        ["at 02:15", "burned each spring"],
    ),
    "three places": (
        "The nightly backup starts at 02:15, the disk is checked on Mondays, and backups are kept "
        "for 35 days.",
        ["at 02:15", "on Mondays", "35 days"],
    ),
}
WRONG = [
    "The nightly backup starts at 02:15 and backups are kept for 90 days.",
    "The nightly backup starts at 02:15 and elephants dance in the harbour.",
    "The disk of the host holds 1,200 backups are kept for 35 days on two sites.",
    "Nine elephants dance, and backups are kept for 35 days.",
    "The nightly backup starts at 03:15 and backups are kept for 35 days.",
]


def cite_backups(answer: str) -> tuple[str, CitingStream]:
    hits = [hit(NIGHTLY, 1), hit(KEPT, 2), hit(OTHER, 3)]
    stream = CitingStream(Evidence("What is to be known?", hits, hits, "english", 0.6))
    return stream.feed(answer) + stream.end(), stream


@pytest.mark.parametrize(("answer", "quoted"), COMPOUND.values(), ids=COMPOUND)
def test_a_sentence_from_two_places_is_cited_at_each(answer: str, quoted: list[str]) -> None:
    text, stream = cite_backups(answer)

    assert text == answer + "".join(f" [{n + 1}]" for n in range(len(quoted)))
    for citation, words in zip(stream.citations, quoted, strict=True):
        assert words in citation.quote
    assert stream.grounding().supported


@pytest.mark.parametrize("answer", WRONG)
def test_one_part_that_no_source_bears_out_leaves_the_whole_sentence_without(answer: str) -> None:
    text, stream = cite_backups(answer)

    assert text == answer and stream.citations == []
    assert stream.grounding().unsupported == [answer]


@pytest.mark.parametrize(
    "marked",
    [
        "The retriever [7] listens on port 8080.",
        "The retriever listens on port 8080 [1][2].",
        "The retriever listens on port 8080[ 3 , 4 ].",
        "The retriever listens on port 8080 [1-9].",
        "The retriever listens on port 8080【4:0†source】.",
    ],
)
@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_a_marker_the_model_invents_is_dropped(marked: str, step: int) -> None:
    text, _ = cite(marked, step)
    assert text == "The retriever listens on port 8080. [1]"


@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_a_marker_inside_a_marker_leaves_none(step: int) -> None:
    text, _ = cite("The retriever listens on port 8080 [[1]1] [1,[2] 3]【4【5】】.", step)
    assert text == "The retriever listens on port 8080. [1]"


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_a_list_item_is_shown_once_however_it_is_cut(step: int) -> None:
    text, _ = cite("The retriever listens on port 8080.\n112.\n- Soup.\n12. \nIt is.", step)
    assert re.sub(r" \[\d\]", "", text) == (
        "The retriever listens on port 8080.\n112.\n- Soup.\n12. \nIt is."
    )


def test_brackets_that_are_no_marker_stay() -> None:
    text, _ = cite("See [the handbook] and array[i].")
    assert text == "See [the handbook] and array[i]."


@pytest.mark.parametrize(
    "wrong",
    [
        "The retriever listens on port 9999.",
        "The retriever listens on port 808.",
        "Johanna Berg restarted Qdrant on 4 May 2026.",
        "Bananas grow in warm countries near the sea.",
    ],
)
def test_a_sentence_with_a_wrong_number_name_or_topic_is_unsupported(wrong: str) -> None:
    text, stream = cite(wrong)
    grounding = stream.grounding()
    assert (text, grounding.unsupported, grounding.supported) == (wrong, [wrong], False)


def test_where_the_model_says_it_has_it_from_is_no_claim() -> None:
    for preamble in (
        "According to the sources, ",
        "According to the information provided in the first source, ",
        "Based on the given context, ",
        "Laut den Quellen, ",
        "Selon le texte, ",
    ):
        text, stream = cite(f"{preamble}the retriever listens on port 8080.")
        assert stream.grounding().supported, preamble
        assert text == f"{preamble}the retriever listens on port 8080. [1]"
        _, stream = cite(f"{preamble}the retriever listens on port 9999.")
        assert not stream.grounding().supported, preamble


def test_a_number_that_names_what_is_asked_about_need_not_stand_in_the_source() -> None:
    question = "Which port does the retriever of Bulkhead 3 listen on, perhaps 9090?"
    _, stream = cite("The retriever of Bulkhead 3 listens on port 8080.", question=question)
    assert stream.grounding().supported
    for wrong in (
        "The retriever of Bulkhead 7 listens on port 8080.",
        "The retriever of Bulkhead 3 listens on port 9090.",  # offered by the question, no name
    ):
        _, stream = cite(wrong, question=question)
        assert not stream.grounding().supported, wrong


def test_a_place_in_a_row_that_names_what_is_asked_about_need_not_either() -> None:
    question = "Which port does the second retriever listen on, in its seventh hour or after five?"
    _, stream = cite("The second retriever listens on port 8080.", question=question)
    assert stream.grounding().supported
    for wrong in (
        "The third retriever listens on port 8080.",
        "The seventh retriever listens on port 8080.",  # it was the hour
        "After five hours the retriever listens on port 8080.",  # how many is a claim
    ):
        _, stream = cite(wrong, question=question)
        assert not stream.grounding().supported, wrong


def test_what_only_repeats_the_question_weighs_next_to_nothing_but_can_be_borne_out() -> None:
    question = "What numerical device, by convention or habit, does the retriever listen on?"
    answer = "The numerical device by convention or habit is port 8080."
    _, stream = cite(answer, question=question)
    assert stream.grounding().supported
    _, stream = cite(
        "The retriever listens on port 8080.", question="Is 8080 the retriever's port?"
    )
    assert stream.grounding().supported


def test_one_bad_sentence_is_named_and_the_good_one_cited() -> None:
    _, stream = cite("The retriever listens on port 8080. It was written by Napoleon in 1812.")
    assert len(stream.citations) == 1
    assert stream.grounding().unsupported == ["It was written by Napoleon in 1812."]


@pytest.mark.parametrize(
    "words",
    [
        "I do not know.",
        "I don't know the answer.",
        "The sources do not mention the colour.",
        "There is no information about this.",
        "I cannot find it in the sources.",
    ],
)
def test_an_abstention_is_seen_and_is_not_called_unsupported(words: str) -> None:
    _, stream = cite(words)
    grounding = stream.grounding()
    assert (grounding.abstained, grounding.unsupported, grounding.supported) == (True, [], False)


def test_a_short_answer_is_quoted_where_the_question_is_answered() -> None:
    _, stream = cite("8081.", question="Which port does the embedding service listen on?")
    assert stream.citations[0].quote == "The embedding service listens on port 8081."


def test_a_sentence_that_only_leads_on_is_neither_cited_nor_blamed() -> None:
    text, stream = cite("The port is:\n\nThe retriever listens on port 8080.")
    assert text == "The port is:\n\nThe retriever listens on port 8080. [1]"
    assert stream.grounding().unsupported == []


def test_a_model_that_loops_is_noticed_at_the_first_sentence_said_twice() -> None:
    _, once = cite("The retriever listens on port 8080. Yes. Yes.")
    assert not once.repeats
    _, twice = cite("The retriever listens on port 8080. The retriever listens on port 8080. And")
    assert twice.repeats
    _, words = cite("When it breaks breaks breaks breaks breaks breaks")
    assert words.repeats
    _, phrase = cite("It is of the kind of the kind of the kind of the kind of the kind")
    assert phrase.repeats
    _, row = cite("| a | 0 | 0 | 1 | 0 | 0 | 1 |")
    assert not row.repeats


def test_a_sentence_that_was_cut_off_is_neither_cited_nor_blamed() -> None:
    stream = CitingStream(evidence())
    text = stream.feed("The retriever listens on port 8080. It was built by Napo")
    assert text + stream.end(finished=False) == (
        "The retriever listens on port 8080. [1] It was built by Napo"
    )
    assert stream.grounding().unsupported == []


def test_the_quote_is_no_longer_than_it_must_be() -> None:
    _, stream = cite(
        "The embedding service listens on port 8081.",
        question="Which ports does the retriever use?",
    )
    assert stream.citations[0].quote == "The embedding service listens on port 8081."


def test_an_answer_without_words_is_not_supported() -> None:
    text, stream = cite("...")
    assert text == "..."
    assert not stream.grounding().supported


@given(
    st.text(alphabet=st.sampled_from("ab8 .[]1,\n【】The port"), max_size=120), st.integers(1, 9)
)
def test_pieces_of_any_size_give_the_same_answer(answer: str, step: int) -> None:
    whole, all_at_once = cite(answer, len(answer) or 1)
    pieces, streamed = cite(answer, step)
    assert pieces == whole
    assert streamed.citations == all_at_once.citations
    assert streamed.grounding() == all_at_once.grounding()
