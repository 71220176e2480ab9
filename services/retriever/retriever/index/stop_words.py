"""Words that say nothing of what a text is about, by language, and the language that they show."""

from functools import cache, lru_cache

import regex
from stop_words import AVAILABLE_LANGUAGES, get_stop_words

_ENGLISH = """
a about after all also an and any are as at be because been before being but by can could did
do does for from had has have he her his how i if in into is it its may more most no not of on
or other our out over own she should so some such than that the their them then there these
they this those through to under up was we were what when where which while who why will with
would you your
""".split()  # noqa: SIM905 - readable as a paragraph

_TOLD_APART = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian",
    "ru": "russian",
}  # fmt: skip
_WORD = regex.compile(r"\p{L}+")
_LOOKED_AT = 4000
"""Characters that tell a language."""
_HAN = regex.compile(r"\p{Han}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")


@cache
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language by its Snowball name; none where there is no list.

    English has a short list of its own, as the library's holds a thousand words, "system" and
    "nine" among them.
    """
    if language == "english":
        return frozenset(_ENGLISH)
    if language not in AVAILABLE_LANGUAGES:
        return frozenset()
    return frozenset(word.casefold() for word in get_stop_words(language) if word.isalpha())


def language_of(text: str) -> str:
    """The language of a text, of those that are told apart, by ISO 639-1; English in doubt."""
    text = text[:_LOOKED_AT]
    if len(_HAN.findall(text)) * 4 > len(text) and not _KANA.search(text):
        return "zh"
    words = [word.casefold() for word in _WORD.findall(text)]
    known = {code: sum(_weight(word, code) for word in words) for code in _TOLD_APART}
    return max(known, key=lambda code: known[code])


@lru_cache(maxsize=2**14)
def _languages(word: str) -> frozenset[str]:
    return frozenset(code for code, name in _TOLD_APART.items() if word in stop_words(name))


def _weight(word: str, code: str) -> float:
    """A word of several languages tells less of each."""
    return 1 / len(among) if code in (among := _languages(word)) else 0.0
