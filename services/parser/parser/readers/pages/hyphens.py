"""Words that were broken at a line's end, made whole: with their hyphen where it is their own."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from spellchecker import SpellChecker

_STOP_WORDS = {
    "en": frozenset(("the", "and", "of", "to", "is", "in", "that", "for", "with", "are")),
    "fr": frozenset(("le", "la", "les", "et", "des", "est", "dans", "une", "pour", "du")),
    "de": frozenset(("der", "die", "und", "das", "ist", "den", "mit", "nicht", "von", "ein")),
    "es": frozenset(("el", "los", "las", "que", "por", "con", "una", "del", "para", "se")),
    "it": frozenset(("il", "di", "che", "per", "una", "della", "con", "sono", "gli", "nel")),
    "nl": frozenset(("het", "een", "van", "en", "dat", "niet", "zijn", "voor", "met", "op")),
    "pt": frozenset(("o", "os", "uma", "que", "para", "com", "da", "do", "em", "as")),
}
_COMPOUNDING = frozenset(("en", "fr"))
"""Languages that write compounds with a hyphen; the others write them as one word."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LEAST_WORD = 3


class Hyphens:
    """Decides for one document, by its own words before all dictionaries."""

    def __init__(self, words: Iterable[str]) -> None:
        """`words`: of the document, those that no line's end breaks."""
        self._own = Counter(match[0].lower() for word in words for match in _WORD.finditer(word))
        counts = {name: sum(self._own[one] for one in stop) for name, stop in _STOP_WORDS.items()}
        best = max(counts, key=lambda name: counts[name])
        self._language = best if counts[best] else ""

    def join(self, before: str, after: str) -> str:
        """The word whose parts stand on two lines, `before` without its hyphen."""
        left = re.split(r"[^\w-]", before)[-1]
        right = re.match(r"[\w-]*", after)
        tail = right[0] if right is not None else ""
        return before + ("-" if self._keeps(left, tail) else "") + after

    def _keeps(self, left: str, right: str) -> bool:
        if not right or not right[0].islower() or not left or not left[-1].islower():
            return True  # HX-2041-B, Nord-Ost, X-ray
        joined, linked = f"{left}{right}".lower(), f"{left}-{right}".lower()
        if self._own[joined] or self._own[linked]:
            return self._own[linked] > self._own[joined]
        if self._language not in _COMPOUNDING:
            return "-" in left
        known = _dictionary(self._language)
        last, first = left.rpartition("-")[2].lower(), right.partition("-")[0].lower()
        if last + first in known:
            return False
        return len(first) >= _LEAST_WORD and first in known


@cache
def _dictionary(language: str) -> SpellChecker:
    return SpellChecker(language=language)
