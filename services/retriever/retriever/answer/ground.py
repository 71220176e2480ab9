"""Which words of the sources carry a sentence of the answer, if any do.

A lexical check: it sees whether the sentence's rare words, names and numbers stand together in
one passage, and whether it denies what the passage says or has its opposite. It does not see
swapped roles or a wrong relation between right words.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice

import regex

from retriever.answer.numbers import claimed, in_digits, joined, said
from retriever.answer.opposites import denies, may_deny, turned
from retriever.answer.sentences import sentences
from retriever.index.model import Hit
from retriever.index.sparse import stop_terms, terms
from retriever.index.stop_words import language_of

EVALUATOR = "lexical-v2"

REPEATED = 0.1
"""What a word that only repeats the question counts; chosen by how far support parts right answers
from wrong (`evaluation.sweep_answers grounding`)."""
_MOST_JOINTS = 16  # of a sentence, at which it may be taken apart
_WIDEST = 3  # sentences of a source that one quote may span
_NAME = regex.compile(r"\p{Lu}[\p{L}\p{N}_-]*")
_TELLING = 500  # characters of each chunk that tell in which language the chunks are
_LETTERS = regex.compile(r"[\p{L}\p{N}]")
# Where a sentence that says two things may be taken apart: at its punctuation, Chinese too and not
# inside of a number, or before an "and" or "but" of some languages.
_JOINT = regex.compile(
    r"[,;]\s+|[\uFF0C\uFF1B\u3001]\s*|\s[–—]\s|\s+(?=(?:and|but|while|und|aber|et|mais|y|pero|ma|и|но)\s)",
    regex.IGNORECASE,
)
# How a model begins that says where it has the rest from, which is no claim about the subject.
_PREAMBLE = regex.compile(
    r"""\s*(?:according\ to|based\ on|as\ (?:stated|mentioned|described|given)\ in|from
      |laut|gemäß|nach|selon|d['’]après|según|secondo|in\ base\ a)\s
      (?:(?!,)[^.!?]){0,40}?
      (?:source|text|document|information|context|passage|quelle|dokument|informationen|kontext
      |texte|contexte|fuente|documento|texto|contexto|fonte|fonti|testo|contesto)
      (?:(?!,)[^.!?]){0,60}?,\s*""",
    regex.VERBOSE | regex.IGNORECASE,
)
# Numbers that tell one thing from others of its kind: "Super Bowl 50", "the 1st son".
_NUMBER_AFTER = regex.compile(r"(?P<word>\p{L}[\p{L}'’-]*)\s+(?P<number>\d+(?:[.,:]\d+)*)")
_ORDINAL = regex.compile(
    r"(?P<number>\b\d+(?:st|nd|rd|th|er|re|[eè]re|[eè]me|e|[ºª.]))\s+(?P<word>\p{L}[\p{L}'’-]*)"
)
_LEAST = 2  # terms that either part must say: a single one is found nearly anywhere


@dataclass(frozen=True, slots=True)
class Support:
    """The best quote for a sentence: `start:end` in code points of the document's text."""

    hit: Hit
    start: int
    end: int
    quote: str
    score: float
    supported: bool


@dataclass(frozen=True, slots=True)
class _Passages:
    """Every one to three sentences in a row of a chunk, and which of them hold a term."""

    spans: list[tuple[int, int, int]]
    """Start, end and number of sentences."""
    holding: dict[str, list[int]]


class Evidence:
    """The chunks that an answer may rest on; taken apart into passages once one is needed."""

    def __init__(
        self,
        question: str,
        cited: Sequence[Hit],
        background: Sequence[Hit],
        language: str,
        threshold: float,
        repeated: float = REPEATED,
    ) -> None:
        """`cited` are the chunks shown to the model; `background`, all that the search found.

        A term's weight is its inverse document frequency among the background, so that what every
        chunk says counts little. `threshold` is the share of weight that a quote must hold.
        """
        self._language = language
        self._spoken = language_of("\n".join(hit.text[:_TELLING] for hit in cited))
        self._threshold = threshold
        self._repeated = repeated
        self._contents = {hit.chunk_id: self._content(hit.shown) for hit in background}
        self._frequency = Counter(chain.from_iterable(self._contents.values()))
        count = len(self._contents)
        self._idf = [_idf(found, count) for found in range(count + 1)]
        self._question = self._content(question)
        self._question_names = {name.casefold() for name in _NAME.findall(question)}
        self._question_numbers = _naming_numbers(question, self._spoken)
        self._cited = list(cited)

    def take_apart(self) -> None:
        """Make the passages now, in whatever thread this is: of a long text it takes a while."""
        _ = self._better

    @cached_property
    def _holding(self) -> list[_Passages]:
        return [_passages(hit.text, self._language, self._spoken) for hit in self._cited]

    @cached_property
    def _passages(self) -> list[tuple[Hit, int, int, int]]:
        """The chunk of each passage, its start, end and number of sentences."""
        return [
            (hit, *span)
            for hit, chunk in zip(self._cited, self._holding, strict=True)
            for span in chunk.spans
        ]

    @cached_property
    def _better(self) -> list[tuple[int, float, int]]:
        """Of passages that hold as much of a sentence: the shorter, nearer to the question."""
        asked = self._held({term: self._weight({term}) for term in self._question})
        return [
            (-count, round(asked[n], 6), start - end)
            for n, (_, start, end, count) in enumerate(self._passages)
        ]

    def supports(self, sentence: str) -> list[Support]:
        """The passages that carry `sentence` together: one, or one for each thing that it says.

        Where nothing carries all of it, the passage that carries most; none where it says nothing
        to check. A part counts as a sentence of its own: its numbers and names stand in its chunk.
        """
        whole = self.support(sentence)
        if whole is None:
            return []
        return [whole] if whole.supported else self._parts(sentence) or [whole]

    def _parts(self, sentence: str) -> list[Support]:
        """A passage for the shortest beginning that one carries, and those of the rest; or none.

        Each joint is looked at once: what a beginning has taken is not given back.
        """
        parts: list[Support] = []
        start = 0
        for joint in islice(_JOINT.finditer(sentence), _MOST_JOINTS):
            first, rest = sentence[start : joint.start()], sentence[joint.end() :]
            if min(len(self._content(first)), len(self._content(rest))) < _LEAST:
                continue
            carried = self.support(first)
            if carried is None or not carried.supported:
                continue
            parts.append(carried)
            start = joint.end()
            others = self.support(rest)
            if others is not None and others.supported:
                return [*parts, others]
        return []

    def support(self, sentence: str) -> Support | None:
        """The passage that carries most of `sentence`; none when it says nothing to check."""
        if preamble := _PREAMBLE.match(sentence):
            sentence = sentence[preamble.end() :]
        wanted = self._content(sentence)
        if not _LETTERS.search(sentence) or not self._passages:
            return None
        claimed = {term: self._claimed(term) for term in wanted}
        held = self._held(claimed)
        best = max(range(len(held)), key=lambda n: (round(held[n], 6), self._better[n]))
        total = sum(claimed.values())
        score = held[best] / total if total else 0.0
        hit, start, end, _ = self._passages[best]
        quote = hit.text[start:end]
        holds = (
            score >= self._threshold
            and self._entities_stand(sentence, hit)
            and not self._is_turned(sentence, quote, hit)
        )
        return Support(hit, hit.start + start, hit.start + end, quote, round(score, 4), holds)

    def _held(self, weights: Mapping[str, float]) -> list[float]:
        """For each passage, the weight of those terms that stand in it."""
        held = [0.0] * len(self._passages)
        first = 0
        for hit, chunk in zip(self._cited, self._holding, strict=True):
            above = self._content(hit.table_header)  # it names what each row holds
            for term, weight in weights.items():
                everywhere = range(len(chunk.spans)) if term in above else ()
                for n in everywhere or chunk.holding.get(term, ()):
                    held[first + n] += weight
            first += len(chunk.spans)
        return held

    def coverage_of_question(self) -> float:
        """The share of the question's weighted terms that the best single chunk holds, 0 to 1."""
        total = self._weight(self._question)
        held = (self._weight(self._question & self._contents[hit.chunk_id]) for hit in self._cited)
        return max(held, default=0.0) / total if total else 0.0

    def _entities_stand(self, sentence: str, hit: Hit) -> bool:
        """Every number and name of the sentence is in the chunk, or part of what is asked about.

        A number is so where it names the same as in the question: "Super Bowl 50", "the first son".
        """
        chunk = self._contents[hit.chunk_id]
        asked = _NUMBER_AFTER.sub(self._unless_asked, sentence)
        asked = _ORDINAL.sub(self._unless_asked, in_digits(asked, self._spoken))
        there = said(hit.text, self._spoken)
        if any(there.isdisjoint(readings) for readings in claimed(asked, self._spoken)):
            return False
        # The first word has a capital for being first.
        names = _NAME.findall(sentence)[1 if _NAME.match(sentence.lstrip()) else 0 :]
        return all(
            name.casefold() in self._question_names or self._content(name) <= chunk
            for name in names
        )

    def _is_turned(self, sentence: str, quote: str, hit: Hit) -> bool:
        """Whether the sentence denies what its quote says, or says the opposite."""
        if denies(sentence) and not may_deny(quote):
            return True
        words, chunk, held = (
            frozenset(terms(text, self._language)) for text in (sentence, hit.text, quote)
        )
        return turned(words, chunk, held, self._language)

    def _unless_asked(self, found: regex.Match[str]) -> str:
        """A word with its number, or without one that names what is asked about."""
        named = found["word"].casefold(), found["number"]
        return str(found["word"] if named in self._question_numbers else found[0])

    def _content(self, text: str) -> frozenset[str]:
        """The stemmed terms of `text` that carry meaning."""
        return _content(text, self._language, self._spoken)

    def _claimed(self, term: str) -> float:
        """The weight of a sentence's term; one that only repeats the question counts less."""
        weight = self._weight({term})
        return self._repeated * weight if term in self._question else weight

    def _weight(self, terms: Set[str]) -> float:
        return sum(self._idf[self._frequency.get(term, 0)] for term in terms)


def _idf(found: int, count: int) -> float:
    """BM25's inverse document frequency of a term that `found` of `count` chunks hold."""
    return math.log(1 + (count - found + 0.5) / (found + 0.5))


def _naming_numbers(text: str, language: str) -> frozenset[tuple[str, str]]:
    """The words of `text` that have a number to tell them from others, each with it."""
    found = chain(_NUMBER_AFTER.finditer(text), _ORDINAL.finditer(in_digits(text, language)))
    return frozenset((one["word"].casefold(), one["number"]) for one in found)


@lru_cache(maxsize=8192)  # the same chunks are found again and again
def _content(text: str, language: str, spoken: str) -> frozenset[str]:
    return frozenset(terms(joined(in_digits(text, spoken)), language)) - stop_terms(language)


@lru_cache(maxsize=512)  # the same chunks are shown again
def _passages(text: str, language: str, spoken: str) -> _Passages:
    sentences_ = sentences(text)
    contents = [_content(text[start:end], language, spoken) for start, end in sentences_]
    spans: list[tuple[int, int, int]] = []
    holding: dict[str, list[int]] = {}
    for first in range(len(sentences_)):
        for last in range(first, min(first + _WIDEST, len(sentences_))):
            for term in frozenset().union(*contents[first : last + 1]):
                holding.setdefault(term, []).append(len(spans))
            spans.append((sentences_[first][0], sentences_[last][1], last - first + 1))
    return _Passages(spans, holding)
