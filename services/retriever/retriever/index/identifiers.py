"""Words that mean something only as they are written: versions, addresses, codes, dates, paths.

`3.7.2` and `3.2.7` are the same parts, and mean two things. What counts as an identifier is decided
by its form alone, so that prose has none: see the table in its test.
"""

from itertools import islice

import regex

from retriever.index.normal import nfkc

# What a run of characters ends at: space, brackets, quotes, list marks; and scripts written without
# spaces, among which an identifier stands on its own.
_RUN = regex.compile(
    r"""[^\s"'`()\[\]{}<>,;|!?=*…·•、。\u2013\u2014\p{Pi}\p{Pf}\u201a\u201e\u300c-\u3011"""
    r"""\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]+""",
    regex.V1,
)
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2212\ufe63\uff0d"), "-")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_TRAILING = ".:-_/\\+&#%@~$°^'"
_LEADING = regex.compile(r"^[:+&#%@$^']*(?:\.+(?!/))?")
_LONGEST = 200
_MOST = 32
"""Identifiers of a query that are looked for: each costs time in every chunk that was found."""

_PART = r"[\p{L}\p{M}\p{N}]"
_FORM = regex.compile(
    rf"""(?:
        (?=.*\p{{N}}) .*{_PART}[-._/:\\@+#]+{_PART}.*     # joined, with a digit: 3.7.2, HX-2041-B
      | (?=\p{{L}}.*\p{{N}}|0x|\p{{N}}+\p{{L}}+\p{{N}}) {_PART}+    # mixed: E404, 0x80070005
      | .*{_PART}(?:_+|::|@|\\){_PART}.*                  # cap_drop, std::vector, a@b.example
      | (?:~?/|\./|[a-z]:\\).*{_PART}[/\\.].*{_PART}.*    # /etc/hosts, ./run.sh
      | --[\p{{L}}\p{{N}}].*                               # --scale
      | {_PART}+(?:/{_PART}+){{2,}}                       # a path without a slash before it
      | {_PART}{{2,}}(?:\.{_PART}{{2,}})+                 # postgresql.conf, os.path
      | {_PART}+://.+                                   # an address
    )""",
    regex.VERBOSE,
)
# Of prose: 20th-century, 5-year-old, mid-1970s, 3.5kg.
_PROSE = regex.compile(
    r"\p{N}+\p{L}{0,2}(?:-\p{L}+)+|\p{L}+-(?:\p{L}+|\p{N}{2,4}s)|\p{N}+(?:[.,]\p{N}+)?\p{L}{1,3}"
)
_VERSION = regex.compile(r"^v(?=\p{N}+\.)")


def identifiers(text: str) -> list[str]:
    """The identifiers of `text` in order, repeated as they occur, in one spelling each.

    Case, width and kinds of hyphen make no difference, nor does the `v` before a version.
    """
    found = []
    for run in _RUN.findall(_folded(text)):
        word = _LEADING.sub("", run.rstrip(_TRAILING), count=1)
        if len(word) <= _LONGEST and _FORM.fullmatch(word) and not _PROSE.fullmatch(word):
            found.append(_VERSION.sub("", word, count=1))
    return found


class Wanted:
    """The first identifiers of a query, to be looked for in texts."""

    def __init__(self, query: str) -> None:
        self._names = set(islice(identifiers(query), _MOST))
        either = "|".join(regex.escape(name) for name in sorted(self._names, key=len, reverse=True))
        # Not as a piece of a longer one: 3.7.2 is not in 13.7.2, 3.7.20, 1.3.7.2 or 3.7.2-rc1.
        self._pattern = regex.compile(
            rf"(?<!{_PART}|{_PART}[-._])v?({either})(?!{_PART}|[-._]{_PART})"
        )

    def __bool__(self) -> bool:
        return bool(self._names)

    def held(self, text: str) -> int:
        """How many of them `text` holds as they are written."""
        if not self._names:
            return 0
        return len(set(self._pattern.findall(_folded(text), overlapped=True)))


def _folded(text: str) -> str:
    folded = nfkc(text).casefold()
    return folded.translate(_HYPHENS).translate(_INVISIBLE)
