"""Statements that are known to follow from their sources, or not, made from a judged collection.

A supported one is the sentence of the gold paragraph that holds the gold answer, word for word:
the easiest case. Each other kind is that sentence, spoilt in one way.
"""

import re
from dataclasses import dataclass
from typing import Literal

from evaluation.beir import CorpusDocument, Dataset, sample
from evaluation.squad import normalise
from retriever.answer.sentences import sentences

Kind = Literal[
    "supported",
    "foreign sentence",
    "foreign answer",
    "swapped answer",
    "changed number",
    "opposite",
    "negated",
]

KINDS: dict[Kind, str] = {
    "supported": "the sentence that holds the answer",
    "foreign sentence": "a sentence of another article",
    "foreign answer": "the answer replaced by one of another article",
    "swapped answer": "the answer replaced by another one of the same paragraph",
    "changed number": "its first number, in digits or words, made another one",
    "opposite": "a word of direction or state replaced by its opposite",
    "negated": "a 'not' put in",
}

BACKGROUND = 12
"""Paragraphs that stand for what a search brought; the first two are shown."""

_WORDS = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "twenty", "thirty", "forty", "fifty",
]  # fmt: skip
_NUMBER = re.compile(rf"\b(?:\d+|{'|'.join(_WORDS)})\b", re.IGNORECASE)
_OPPOSITES = [
    ("north", "south"), ("east", "west"), ("northern", "southern"), ("eastern", "western"),
    ("left", "right"), ("above", "below"), ("upper", "lower"), ("inside", "outside"),
    ("open", "closed"), ("increase", "decrease"), ("increased", "decreased"), ("high", "low"),
    ("higher", "lower"), ("highest", "lowest"), ("largest", "smallest"), ("large", "small"),
    ("more", "less"), ("most", "least"), ("first", "last"), ("before", "after"),
    ("early", "late"), ("old", "new"), ("won", "lost"), ("hot", "cold"), ("long", "short"),
    ("public", "private"), ("internal", "external"), ("positive", "negative"), ("began", "ended"),
]  # fmt: skip
_TURNED = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
_TURNABLE = re.compile(rf"\b(?:{'|'.join(_TURNED)})\b")
_VERB = re.compile(r"\b(?:is|was|are|were|has|had|can|could|will|would|did|does|may|must)\b")


@dataclass(frozen=True)
class Claim:
    """A statement, the question that it answers, and its paragraphs, those shown first."""

    kind: Kind
    question: str
    text: str
    paragraphs: tuple[CorpusDocument, ...]

    @property
    def shown(self) -> tuple[CorpusDocument, ...]:
        """The gold paragraph, and one more of its article where there is one."""
        return self.paragraphs[:2]


def claims(dataset: Dataset, count: int, seed: int) -> list[Claim]:
    """Claims of every kind about `count` questions; a kind is left out where it cannot be made.

    The same seed makes the same claims.
    """
    asked = sample(list(dataset.queries), None, seed)
    made: list[Claim] = []
    used = 0
    for place, query_id in enumerate(asked):
        if used == count:
            break
        query = dataset.queries[query_id]
        gold = [dataset.corpus[one] for one in sorted(dataset.relevant(query_id))]
        sentence = _sentence_with(query.answers[0], gold[0].text) if query.answers and gold else ""
        if not sentence:
            continue
        used += 1
        paragraphs = _paragraphs(dataset, gold[0], place)
        answer = query.answers[0]
        other_sentence, other_answer = _foreign(dataset, asked, gold[0], place)
        texts: dict[Kind, str] = {
            "supported": sentence,
            "foreign sentence": other_sentence,
            "foreign answer": _replaced(sentence, answer, other_answer),
            "swapped answer": _replaced(
                sentence, answer, _other_answer(dataset, gold[0], sentence)
            ),
            "changed number": _renumbered(sentence),
            "opposite": _turned(sentence),
            "negated": _negated(sentence),
        }
        made += [Claim(kind, query.text, text, paragraphs) for kind, text in texts.items() if text]
    return made


def _sentence_with(answer: str, text: str) -> str:
    for start, end in sentences(text):
        if answer in text[start:end] and normalise(answer):
            return text[start:end]
    return ""


def _paragraphs(dataset: Dataset, gold: CorpusDocument, place: int) -> tuple[CorpusDocument, ...]:
    """The gold one, others of its article, then any."""
    everything = list(dataset.corpus.values())
    turned = everything[place % len(everything) :] + everything[: place % len(everything)]
    near = [one for one in turned if one.title == gold.title and one.id != gold.id]
    far = [one for one in turned if one.title != gold.title]
    return (gold, *near, *far)[:BACKGROUND]


def _foreign(
    dataset: Dataset, asked: list[str], gold: CorpusDocument, place: int
) -> tuple[str, str]:
    """A sentence of another article and the answer in it."""
    for query_id in asked[place + 1 :] + asked[:place]:
        for document_id in sorted(dataset.relevant(query_id)):
            document, answers = dataset.corpus[document_id], dataset.queries[query_id].answers
            if document.title == gold.title or not answers or answers[0] in gold.text:
                continue
            if sentence := _sentence_with(answers[0], document.text):
                return sentence, answers[0]
    return "", ""


def _other_answer(dataset: Dataset, gold: CorpusDocument, sentence: str) -> str:
    """The answer to another question about this paragraph that is not in the sentence."""
    for query in dataset.queries.values():
        if query.answers and gold.id in dataset.relevant(query.id):
            answer = query.answers[0]
            if normalise(answer) and normalise(answer) not in normalise(sentence):
                return answer
    return ""


def _replaced(sentence: str, answer: str, other: str) -> str:
    """The sentence with the other answer in place of its own; nothing without another answer."""
    return sentence.replace(answer, other, 1) if other else ""


def _negated(sentence: str) -> str:
    """The sentence with a `not` after its first verb that takes one; nothing without one."""
    found = _VERB.search(sentence)
    return f"{sentence[: found.end()]} not{sentence[found.end() :]}" if found else ""


def _renumbered(sentence: str) -> str:
    """The sentence with another number in place of its first one; nothing without one."""
    found = _NUMBER.search(sentence)
    if not found:
        return ""
    number = found[0].lower()
    if number in _WORDS:
        other = _WORDS[(_WORDS.index(number) + 1) % len(_WORDS)]
    else:
        other = str(int(number) + 1)
    return f"{sentence[: found.start()]}{other}{sentence[found.end() :]}"


def _turned(sentence: str) -> str:
    """The sentence with the opposite of its first word that has one; nothing without one."""
    found = _TURNABLE.search(sentence)
    if not found:
        return ""
    return f"{sentence[: found.start()]}{_TURNED[found[0]]}{sentence[found.end() :]}"
