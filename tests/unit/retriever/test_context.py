# ruff: noqa: RUF001 - other alphabets
from collections.abc import Awaitable, Callable, Sequence

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retriever.answer.context import (
    ANSWER,
    ANSWER_LEANT_ON,
    NAMED,
    OF_ANSWER,
    OF_TURN,
    TURN,
    TURN_LEANT_ON,
    context_of,
    find,
    leans,
    names,
)
from retriever.search import Context

Rewrite = Callable[[], Awaitable[str | None]]


def about(before: Sequence[str], question: str) -> list[str]:
    """The turns that the question is searched for with."""
    found = context_of(before, "", question, "english")
    return [turn.text for turn in found if turn.meaning]


LEANING = {
    "english": [
        "And the battery?",
        "What about a yearly service?",
        "How long does it last?",
        "Who wrote that?",
        "Why?",
        "Since when?",
        "Are they open on Sunday?",
        "Which of these is the cheapest ferry?",
        "How many people work there?",
        "Is there a cheaper one?",
        "Can I have the same for the Heron?",
        "How much did its revenue in Europe grow in the third quarter?",
        "How many of the pilots who board tankers at the northern quay know about it by now?",
    ],
    "german": ["Und die Batterie?", "Was ist mit dem Jahresservice?", "Wie lange dauert dieser?"],
    "french": [
        "Et la batterie ?",
        "Qu’en est-il du pare-brise ?",
        "Combien coûte celui de Brest ?",
    ],
    "spanish": ["¿Y la batería?", "Pero ¿cuándo?", "¿Cuánto dura eso?"],
    "italian": ["E la batteria?", "Quanto costa quello di Genova?"],
    "russian": ["А батарея?", "Как долго он работает?"],
}
STANDING = [
    "Which port does the retriever listen on?",
    "How large may an uploaded file be?",
    "Why was release 2026.8 rolled back?",
    "Who is allowed to silence an alert, and for how long?",
    "What changed in 3.7.2?",
    "HX-2041-B",
    "What is the service that the harbour pays for most?",
    "Are there pilots on the northern quay?",
    "Which of the pilot's childhood friends did Toghrul tell him to take into the campaign?",
]


@pytest.mark.parametrize(
    ("language", "question"), [(one, q) for one, questions in LEANING.items() for q in questions]
)
def test_a_question_that_leans_is_known_by_its_form(language: str, question: str) -> None:
    assert leans(question, language)


@pytest.mark.parametrize("question", STANDING)
def test_a_question_that_stands_by_itself_is_known_too(question: str) -> None:
    assert not leans(question, "english")


def test_what_was_said_before_counts_more_for_a_question_that_leans() -> None:
    before, answer = ["How much is a tyre change for the Falcon?"], "It costs 120 euros."
    falcon = Context("Falcon", *NAMED)
    assert context_of(before, answer, "And a battery?", "english") == [
        Context(before[0], *TURN_LEANT_ON),
        Context(answer, *ANSWER_LEANT_ON),
        falcon,
    ]
    assert context_of(before, answer, STANDING[0], "english") == [
        Context(before[0], *TURN),
        Context(answer, *ANSWER),
        falcon,
    ]
    assert context_of(before, " ", "What does the Heron cost?", "english") == [
        Context(before[0], *TURN)
    ]
    assert context_of([], "", STANDING[0], "english") == []


def test_a_question_is_about_what_was_named_last() -> None:
    before = ["Is the quay open?", "How much is a tyre change for the Falcon?", "And a service?"]
    assert about(before, "And a battery?") == [before[1]]
    assert about([*before, "How much is a paint repair, then?"], "And a battery?") == [before[1]]
    before.append("And for the Heron?")
    assert about(before, "And a battery?") == ["And for the Heron?"]


def test_a_turn_with_words_of_its_own_counts_beside_what_was_named() -> None:
    before = [
        "How much is a tyre change for the Falcon?",
        "What does a swimming pass for children cost?",
        "And for dogs?",
    ]
    assert about(before, "And for students?") == [before[1], before[0]]
    assert about(before[1:], "And for students?") == [before[1]]


def test_a_question_that_names_something_is_about_the_last_turn() -> None:
    before = ["How much is a tyre change for the Falcon?", "And a service?"]
    assert about(before, "And for the Heron?") == ["And a service?"]


NAMING = [
    ("Was kostet der neue Reifen für Falcon?", True),
    ("Und bei Heron?", True),
    ("Was kostet das Modell Heron?", True),
    ("Wie weit ist es nach Bremen?", True),
    ("Und der Akku?", False),
    ("Welche Farben gibt es für das rote Fahrrad?", False),
    ("Wie lange hält die neue Batterie?", False),
    ("Gibt es Rabatte?", False),
    ("Wie viele Plätze hat ein solcher Wagen?", False),
    ("Wer öffnet am Sonntag das Tor?", False),
    ("Und mit zwei kleinen Kindern?", False),
    ("Et pour Brest ?", True),
    ("Et la batterie ?", False),
    ("¿Y para Sevilla?", True),
    ("¿Y la batería?", False),
    ("E per Genova?", True),
    ("А для Москвы?", True),
    ("А батарея?", False),
    ("And for the Heron?", True),
    ("And the battery?", False),
]


def test_a_german_noun_is_no_name_for_its_capital() -> None:
    assert {question for question, _ in NAMING if names(question)} == {
        question for question, named in NAMING if named
    }


def test_a_german_follow_up_is_about_what_was_named() -> None:
    before = ["Was kostet das Modell Heron?", "Und die Farbe?"]
    assert about(before, "Und der Akku?") == [before[0]]


def test_a_long_turn_counts_by_its_end_and_a_long_answer_by_its_beginning() -> None:
    long = "Calm morning on the northern quay. " * 400 + "How much is a tyre change?"
    said = "It costs 120 euros. " + "Calm morning on the northern quay. " * 400
    turn, answer = context_of([long], said, "And for the Heron?", "english")
    assert turn.text.endswith("How much is a tyre change?")
    assert answer.text.startswith("It costs 120 euros.")
    assert (len(turn.text), len(answer.text)) == (OF_TURN, OF_ANSWER)


def test_of_a_long_turn_only_what_is_named_at_its_end_counts() -> None:
    long = "On the Falcon and on the Heron, " * 400 + "? " * 200 + "Or the Osprey?"
    assert context_of([long], "", "And a battery?", "english")[1] == Context("Osprey", *NAMED)


def written(text: str | None) -> Rewrite:
    async def rewrite() -> str | None:
        return text

    return rewrite


class Told(BaseRetriever):
    """Finds what it is told to."""

    found: dict[str, list[str]]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(id=name, page_content=name) for name in self.found[query]]


@pytest.mark.parametrize(
    ("lists", "fused"),
    [
        ((["a", "b", "c"], ["b", "d", "e"]), ["b", "a", "d"]),
        ((["a", "c"], ["b", "a"]), ["a", "b"]),
        (([], ["b"]), ["b"]),
    ],
)
async def test_what_a_rewrite_finds_is_fused_with_the_rest_by_ranks(
    lists: tuple[list[str], list[str]], fused: list[str]
) -> None:
    retriever = Told(found=dict(zip(("it", "rewritten"), lists, strict=True)))
    found, text = await find(retriever, "it", written("rewritten"))
    assert [document.id for document in found] == fused
    assert text == "rewritten"


@pytest.mark.parametrize("rewrite", [None, written(None)])
async def test_where_nothing_is_rewritten_the_rest_is_found(rewrite: Rewrite | None) -> None:
    found, text = await find(Told(found={"it": ["a"]}), "it", rewrite)
    assert [document.id for document in found] == ["a"]
    assert text is None
