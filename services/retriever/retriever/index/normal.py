"""Unicode's compatibility form, in time linear in the text."""

import unicodedata

import regex

# More combining marks in a row than any language has. Putting n of them in order takes n squared
# steps, so that 16,000 hold everyone up for seconds. The halfwidth voiced marks become such ones.
_MARKS = regex.compile(r"([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+")


def nfkc(text: str) -> str:
    """`text` in NFKC; of more than 30 combining marks in a row the first 30.

    The bound is that of Unicode's stream-safe text format (Unicode Standard Annex 15, section 13).
    """
    return unicodedata.normalize("NFKC", text if text.isascii() else _MARKS.sub(r"\1", text))
