"""Sparse terms: words, stemmed, and identifiers, whole; weighted by BM25.

Qdrant adds the inverse document frequency.
"""

import threading
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import cache

import regex
import Stemmer
from qdrant_client.models import SparseVector

from retriever.index.identifiers import identifiers
from retriever.index.normal import nfkc
from retriever.index.stop_words import stop_words

# Runs of letters, marks and digits; scripts written without spaces give one term a character.
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|"
    r"[\p{L}\p{M}\p{N}--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]+",
    regex.V1,
)
_LONGEST_TERM = 64

_local = threading.local()


def stemmer(language: str) -> Stemmer.Stemmer:
    """This thread's stemmer (PyStemmer's are not to be shared), with its cache of stems.

    Raises `ValueError` for a language that PyStemmer does not know.
    """
    made: dict[str, Stemmer.Stemmer] = vars(_local).setdefault("stemmers", {})
    if language not in made:
        if language not in Stemmer.algorithms():
            known = ", ".join(Stemmer.algorithms())
            raise ValueError(f"no stemmer for {language!r}; there are: {known}")
        made[language] = Stemmer.Stemmer(language)
    return made[language]


def terms(text: str, language: str) -> list[str]:
    """The stemmed terms of `text` in order, repeated as they occur."""
    folded = nfkc(text).casefold()
    words = [word[:_LONGEST_TERM] for word in _WORD.findall(folded)]
    stems: list[str] = stemmer(language).stemWords(words)
    return stems


@cache
def stop_terms(language: str) -> frozenset[str]:
    """The terms that say nothing of what a text is about, in a language that has a list."""
    return frozenset(terms(" ".join(stop_words(language)), language))


class BM25:
    """BM25 as sparse vectors: the document's side of the product here, IDF in Qdrant.

    Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond".
    The average length is a constant, so that a weight never depends on what came in later.
    """

    def __init__(self, language: str, k1: float, b: float, average_terms: float) -> None:
        self._language = language
        self.k1 = k1
        self.b = b
        self.average_terms = average_terms

    def documents(self, texts: list[str]) -> list[SparseVector]:
        """One vector a text; CPU-bound, to be called off the event loop."""
        return [self._document(text) for text in texts]

    def _document(self, text: str) -> SparseVector:
        found = terms(text, self._language)
        norm = self.k1 * (1 - self.b + self.b * len(found) / self.average_terms)
        weights: dict[int, float] = {}
        for term, count in Counter([*found, *_wholes(text)]).items():
            weight = count * (self.k1 + 1) / (count + norm)
            index = term_id(term)
            weights[index] = weights.get(index, 0.0) + weight
        return SparseVector(indices=list(weights), values=list(weights.values()))

    def query(self, text: str, context: Iterable[tuple[str, float]] = ()) -> SparseVector:
        """Each distinct term of a query, weight 1, and of each text beside it, with its weight."""
        weights: dict[int, float] = {}
        for one, weight in [(text, 1.0), *context]:
            for index in self._asked(one):
                weights[index] = weights.get(index, 0.0) + weight
        return SparseVector(indices=list(weights), values=list(weights.values()))

    def _asked(self, text: str) -> set[int]:
        """The distinct terms of a text; stop words only if there is nothing else."""
        found = terms(text, self._language)
        telling = [term for term in found if term not in stop_terms(self._language)]
        return {term_id(term) for term in [*(telling or found), *_wholes(text)]}


def _wholes(text: str) -> list[str]:
    """The identifiers of `text` as terms that no word is."""
    return [f"={identifier}" for identifier in identifiers(text)]


def term_id(term: str) -> int:
    """The 32-bit index of a term. At 50,000 terms, one in 86,000 shares its index with another."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass"))
