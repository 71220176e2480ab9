# ruff: noqa: RUF001 - other alphabets
from collections.abc import Awaitable, Callable, Sequence

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retriever.answer.standalone import (
    MOST_CHARACTERS,
    TOGETHER,
    TOGETHER_BARE,
    Search,
    find,
    leans,
    names,
    searches,
)


def texts(before: Sequence[str], question: str) -> list[str]:
    return [search.text for search in searches(before, question, "english")]


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
def test_a_question_that_stands_by_itself_is_searched_for_by_itself(question: str) -> None:
    assert texts(["Who wrote the handbook?", "And when?"], question) == [question]


def test_a_leaning_question_is_asked_of_what_was_named_last() -> None:
    before = ["Is the quay open?", "How much is a tyre change for the Falcon?", "And a service?"]
    assert texts(before, "And a battery?") == [
        "And a battery?",
        "How much is a tyre change for the Falcon?\nAnd a battery?",
    ]
    before.append("And for the Heron?")
    assert texts(before, "And a battery?")[1] == "And for the Heron?\nAnd a battery?"


def test_a_question_that_names_something_asks_the_last_turn_of_that() -> None:
    before = ["How much is a tyre change for the Falcon?", "And a service?"]
    asked = texts(before, "And for the Heron?")
    assert asked == ["And for the Heron?", "And a service?\nAnd for the Heron?"]


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


def test_a_german_follow_up_is_asked_of_what_was_named() -> None:
    before = ["Was kostet das Modell Heron?", "Und die Farbe?"]
    assert texts(before, "Und der Akku?")[1] == "Was kostet das Modell Heron?\nUnd der Akku?"


def test_a_question_with_words_of_its_own_weighs_as_much_alone() -> None:
    before = ["How much is a tyre change for the Falcon?"]
    (_, few) = searches(before, "And a battery?", "english")
    own = "How long does it take a pilot to board a tanker at the northern quay?"
    (_, many) = searches(before, own, "english")
    (_, bare) = searches(before, "What is Nexus?", "english")
    assert (few.weight, bare.weight, many.weight) == (TOGETHER, TOGETHER_BARE, 1.0)


def test_of_a_long_turn_its_end_is_searched_for() -> None:
    long = "Calm morning on the northern quay. " * 400 + "How much is a tyre change?"
    _, with_it = texts([long], "And a battery?")
    assert with_it.endswith("How much is a tyre change?\nAnd a battery?")
    assert len(with_it) < MOST_CHARACTERS + 20


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
        ([["a", "b"]], ["a", "b"]),
        ([["a", "b", "c"], ["b", "d", "e"]], ["b", "d", "e"]),
        ([["a", "c"], ["b", "a"]], ["a", "b"]),
        ([[], ["b"]], ["b"]),
    ],
)
async def test_lists_are_fused_by_ranks(lists: Sequence[list[str]], fused: list[str]) -> None:
    retriever = Told(found={str(n): names for n, names in enumerate(lists)})
    weights = (1.0, TOGETHER)
    asked = [Search(str(n), weights[n]) for n in range(len(lists))]
    found, searched = await find(retriever, asked)
    assert [document.id for document in found] == fused
    assert searched == [str(n) for n in range(len(lists))]


async def test_a_rewrite_is_searched_for_beside_the_others() -> None:
    retriever = Told(found={"it": ["a", "b"], "with": ["a", "b"], "rewritten": ["c", "d", "e"]})
    asked = [Search("it", 1.0), Search("with", TOGETHER)]
    found, searched = await find(retriever, asked, written("rewritten"))
    assert searched == ["it", "with", "rewritten"]
    assert [document.id for document in found] == ["a", "b", "c"]


@pytest.mark.parametrize("asked", [["it"], ["it", "with"]])
async def test_where_nothing_is_rewritten_the_rest_is_found(asked: Sequence[str]) -> None:
    retriever = Told(found={"it": ["a"], "with": ["a"]})
    rewrite = written(None if len(asked) > 1 else "never asked for")
    found, searched = await find(retriever, [Search(text, 1.0) for text in asked], rewrite)
    assert [document.id for document in found] == ["a"]
    assert searched == asked


def written(text: str | None) -> Callable[[], Awaitable[str | None]]:
    async def rewrite() -> str | None:
        return text

    return rewrite
