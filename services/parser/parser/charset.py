"""Bytes to text, or a refusal.

In this order: a byte order mark decides; then the alternation of NULs that UTF-16 and UTF-32 have;
then valid UTF-8; then the declared encoding; then UTF-8 of which a few bytes are bad; what is left
is guessed, by chardet and by how well the letters go together. What was guessed or lost is warned
of. Content that is mostly control characters is refused.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import chardet

from parser.model import ParseError, Reading

_MARKS = (  # UTF-32 first: its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_SURROGATES = re.compile("[\ud800-\udfff]")
# What a label means where it is more than its standard says, as browsers have it.
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_NO_CHARSETS = frozenset(
    ("unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined", "utf-7")
)
_SHIFTED = re.compile(rb"\x1b[$(][@-J]")  # ISO-2022 switches its tables like this, in plain ASCII
_LEAST_A_NUL = 1000
"""Bytes of a text for each NUL that strayed into it; in binary data there are more."""
_SAMPLE_BYTES = 64 * 1024  # enough to tell an encoding, small enough to do so in milliseconds
_FEW = 16
"""Fewer accented letters than this tell a guesser little ("caf\\xe9" alone could be Korean)."""
_SURE = 0.05
"""chardet's confidence from which a guess is more than chance."""
_GUESSES = 12
_MOSTLY_ASCII = 0.02
"""Share of accented letters below which a text is English or the like, with a foreign name."""
_BAD_SHARE = 0.1
"""Bad bytes, for each good sequence of several, up to which a text is damaged UTF-8."""


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for every lone surrogate, which UTF-8 cannot carry; offsets keep."""
    return _SURROGATES.sub("\ufffd", text)


def decode(data: bytes, reading: Reading, declared: str | None = None) -> str:
    """Decode a text file; `declared` is an encoding that the file or its sender names.

    Raises ParseError `unsupported` for binary content.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _replaced(data[len(mark) :], encoding, reading)
    if (wide := _wide(data)) is not None:
        reading.warn("charset_guessed", f"The encoding was not declared; it looks like {wide}.")
        return _replaced(data, wide, reading)
    named = _named(declared)
    if data.isascii() and (_SHIFTED.search(data) or named == "hz"):
        return _legacy(data, named, reading)
    with suppress(UnicodeDecodeError):
        text = data.decode("utf-8")
        if _control_share(data) > 0.3:
            raise ParseError(
                "unsupported", "The file is binary: most of it is control characters, not text."
            )
        return text
    if named is not None and named.startswith("utf-16"):
        return _replaced(data, named, reading)
    found = (chardet.detect(data[:_SAMPLE_BYTES])["encoding"] or "") if b"\0" in data else ""
    if found.lower().startswith(("utf-16-", "utf-32-")):
        reading.warn("charset_guessed", f"The encoding was not declared; it looks like {found}.")
        return _replaced(data, found, reading)
    if data.count(0) * _LEAST_A_NUL > len(data) or _control_share(data) > 0.05:
        raise ParseError("unsupported", "The file is binary data of a kind that is not read here.")
    return _legacy(data, named, reading)


def _named(label: str | None) -> str | None:
    """Python's name for a label; none for one that names no charset."""
    try:
        name = codecs.lookup((label or "").strip().strip("\"'")).name
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if name in _NO_CHARSETS else _WIDER.get(name, name)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, by where its NULs stand."""
    sample = data[:_SAMPLE_BYTES]
    if len(sample) < 4 or (sample.isascii() and b"\0" not in sample):
        return None
    share = [sample[place::4].count(0) / len(sample[place::4]) for place in range(4)]
    low, high = 0.05, 0.6
    for encoding, nuls in (
        ("utf-32-le", (False, True, True, True)),
        ("utf-32-be", (True, True, True, False)),
        ("utf-16-le", (False, True, False, True)),
        ("utf-16-be", (True, False, True, False)),
    ):
        fits = all(one > high if nul else one < low for one, nul in zip(share, nuls, strict=True))
        if fits:
            with suppress(UnicodeDecodeError):
                sample[: len(sample) // 4 * 4].decode(encoding)
                return encoding
    return None


def _legacy(data: bytes, named: str | None, reading: Reading) -> str:
    """Decode bytes that are not UTF-8, or are it with a few bad ones."""
    if named is not None and named != "utf-8":
        with suppress(UnicodeDecodeError):
            return without_surrogates(data.decode(named))
    if named == "utf-8" or (not data.isascii() and _damaged_utf_8(data)):
        return _replaced(data, "utf-8", reading)
    if named is not None:  # as browsers do it
        return _replaced(data, named, reading)
    encoding = _guess(data)
    reading.warn(
        "charset_guessed", f"The encoding was not declared; it was guessed to be {encoding}."
    )
    return _replaced(data, encoding, reading)


def _damaged_utf_8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    whole = len(text) - bad - sum(map(text.count, map(chr, range(128))))
    return bad <= whole * _BAD_SHARE or (bad == 1 and whole > 0 and text.endswith("\ufffd"))


def _guess(data: bytes) -> str:
    """The encoding that chardet thinks most likely of those in which the letters go together."""
    first = next(place for place, byte in enumerate(data) if byte > 127 or byte == 27)
    sample = data[max(0, first - _SAMPLE_BYTES // 8) :][:_SAMPLE_BYTES]
    best, least = "cp1252", 1 << 30
    for encoding in _candidates(sample):
        try:
            text = sample.decode(encoding, "replace")
        except (LookupError, UnicodeError):
            continue
        odd = _odd(text)
        if odd < least:
            best, least = encoding, odd
        if not odd:
            break
    return best


def _candidates(sample: bytes) -> Iterator[str]:
    if sample.isascii():
        yield chardet.detect(sample)["encoding"] or "cp1252"
    letters = sum(char.isalpha() for char in sample.decode("cp1252", "replace") if char > "\x7f")
    era = chardet.EncodingEra.MODERN_WEB | chardet.EncodingEra.LEGACY_ISO
    modern = chardet.detect(sample, encoding_era=era)
    sure = modern["confidence"] >= _SURE and letters >= _MOSTLY_ASCII * len(sample)
    if letters < _FEW and letters * 3 <= len(sample) and not sure:
        yield "cp1252"
    yield modern["encoding"] or "cp1252"
    yield "cp1252"
    for guess in islice(chardet.detect_all(sample, ignore_threshold=True), _GUESSES):
        if guess["encoding"]:
            yield guess["encoding"]


def _odd(text: str) -> int:
    """How often characters beyond ASCII stand where none of their kind would in a real text."""
    count = 0
    for match in re.finditer(r"[^\x00-\x7f]", text):
        place, char = match.start(), match[0]
        before = text[place - 1] if place else " "
        after = text[place + 1 : place + 2] or " "
        category = unicodedata.category(char)
        if char == "\ufffd" or category in ("Cc", "Cn", "Co"):
            count += 1
        elif category[0] == "M":
            count += before.isspace()
        elif not char.isalpha():
            joins = _script(before) == _script(after) != "CJK" and after.isalpha()
            count += joins and char not in "\u2019\u2010\u00b7\u00ad"
        elif (before.isalpha() and _script(before) != _script(char)) or (
            after.isalpha() and _script(after) != _script(char)
        ):
            count += 1
        else:
            count += before.islower() and char.isupper()
    return count


def _script(char: str) -> str:
    name = unicodedata.name(char, "").split()[0] if char.isalpha() else ""
    # Japanese writes its scripts together, and Chinese stands beside kana.
    return "CJK" if name in ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH") else name


def _replaced(data: bytes, encoding: str, reading: Reading) -> str:
    """`data` as text, with U+FFFD for what breaks the encoding, and a warning of it."""
    try:
        return without_surrogates(data.decode(encoding))
    except UnicodeDecodeError as error:
        first = error.start
    text = without_surrogates(data.decode(encoding, "replace"))
    reading.warn(
        "bad_bytes",
        f"{text.count(chr(0xFFFD)):,} characters are not valid {encoding} and are lost;"
        f" the first is at byte {first:,}.",
    )
    return text


def _control_share(data: bytes) -> float:
    return 1 - len(data.translate(None, _CONTROLS)) / len(data) if data else 0.0
