"""Words as a reader means them: characters that only lay a page out are not part of one."""

import re
import unicodedata

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff\ufffe"))
_PLAIN = {0x2010: "-", 0x2011: "-", 0x00A0: " ", 0x202F: " ", 0x2007: " "}
_LAID_OUT = _INVISIBLE | _PLAIN
_LIGATURES = re.compile("[\ufb00-\ufb06\U0001d400-\U0001d7ff]")
_ORDINAL = re.compile(r"[^\W\d_]{2,}\.?")
_MARK = re.compile(r"[-+\u2212\u2013\u207b]?(?:\d{1,4}|[^\W\d_])")


def plain(text: str) -> str:
    """`text` in NFC with plain hyphens and spaces, without soft hyphens and zero-width marks."""
    return unicodedata.normalize("NFC", text.translate(_LAID_OUT))


def unligated(text: str) -> str:
    """`text` with the letters of each ligature, as in a PDF's `ﬁ`, and of slanted formulas."""
    return _LIGATURES.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def raised(text: str) -> str:
    """Raised text, marked so that it does not join the number before it: `10` and `6` are `10^6`.

    Letters that end an ordinal or a name (`1st`, `M. Dupontᵗᵉ`) stay as they are.
    """
    text = " ".join(text.split()).replace("\u2212", "-").replace("\u207b", "-")
    if (
        not text
        or _ORDINAL.fullmatch(text)
        or text in "\u2122\u00ae\u00a9*\u2020\u2021\u00b0\u00ba\u00aa"
    ):
        return text
    return f"^{text}" if _MARK.fullmatch(text) else f"^({text})"
