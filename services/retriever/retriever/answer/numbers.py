"""Numbers, however they are written: in digits or words, with separators, as times, with units.

Words become digits by `text2num` in English, German, French, Spanish and Italian, by the tables
below in Russian and Chinese. A number has one or several readings, as 1.200 is 1200 or 1.2; two
numbers are one if they share a reading.
"""

# ruff: noqa: RUF001 - number words of other alphabets

from functools import lru_cache

import regex
from text_to_num import alpha2digit

_OWN = ("en", "de", "fr", "es", "it")
_CLAUSE = regex.compile(r"[^.!?;:\n]{1,1000}+[.!?;:\n]?|[.!?;:\n]")
"""What is looked at at once: a run of number words takes `text2num` the square of its length."""

_HYPHEN = regex.compile(r"(?<=\p{L})-(?=\p{L})")
_NINE = regex.compile(
    r"(?<!-)(?<!\b(?:dix|vingt|trente|quarante|cinquante|soixante|cents?|mille)\s)"
    r"\bneuf(?=\s\p{L}+[sx]\b)",
    regex.IGNORECASE,
)
"""What counts; where it is "new", no plural follows. The library keeps both in most sentences."""

_RUSSIAN = {
    **dict.fromkeys(["два", "две", "двух", "двум", "двумя"], 2),
    **dict.fromkeys(["три", "трёх", "трех", "трём", "трем", "тремя"], 3),
    **dict.fromkeys(["четыре", "четырёх", "четырех", "четырём", "четырем", "четырьмя"], 4),
    **{
        stem + end: n
        for n, stem in {
            5: "пят", 6: "шест", 7: "сем", 9: "девят", 10: "десят", 11: "одиннадцат",
            12: "двенадцат", 13: "тринадцат", 14: "четырнадцат", 15: "пятнадцат",
            16: "шестнадцат", 17: "семнадцат", 18: "восемнадцат", 19: "девятнадцат",
            20: "двадцат", 30: "тридцат",
        }.items()
        for end in ("ь", "и", "ью")
    },
    **dict.fromkeys(["восемь", "восьми", "восемью", "восьмью"], 8),
    **dict.fromkeys(["сорок", "сорока"], 40),
    **dict.fromkeys(["пятьдесят", "пятидесяти"], 50),
    **dict.fromkeys(["шестьдесят", "шестидесяти"], 60),
    **dict.fromkeys(["семьдесят", "семидесяти"], 70),
    **dict.fromkeys(["восемьдесят", "восьмидесяти"], 80),
    **dict.fromkeys(["девяносто", "девяноста"], 90),
    **dict.fromkeys(["сто", "ста"], 100),
    **dict.fromkeys(["двести", "двухсот"], 200),
    **dict.fromkeys(["триста", "трёхсот", "трехсот"], 300),
    **dict.fromkeys(["четыреста", "четырёхсот", "четырехсот"], 400),
    **dict.fromkeys(["пятьсот", "пятисот"], 500),
    **dict.fromkeys(["шестьсот", "шестисот"], 600),
    **dict.fromkeys(["семьсот", "семисот"], 700),
    **dict.fromkeys(["восемьсот", "восьмисот"], 800),
    **dict.fromkeys(["девятьсот", "девятисот"], 900),
}  # fmt: skip
_RUSSIAN_ONE = frozenset(
    ["один", "одна", "одно", "одного", "одной", "одному", "одним", "одном", "одну"]
)
_RUSSIAN_SCALES = {"тысяч": 1000, "миллион": 10**6, "миллиард": 10**9}
_CYRILLIC = regex.compile(r"\p{Cyrillic}+(?:[ \-]\p{Cyrillic}+)*+")
_CHINESE_DIGITS = dict(zip("零一二三四五六七八九两〇", (*range(10), 2, 0), strict=True))
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
_CHINESE_MYRIADS = {"万": 10**4, "亿": 10**8}
_CHINESE = regex.compile(r"[零〇一二两三四五六七八九十百千万亿]{1,40}")

_NUMBER = regex.compile(
    r"(?<![\d.,])\d{1,3}(?:\ \d{3})++(?![\d.,:])|\d++(?:[.,:'\u2019\u00a0\u202f]\d++)*+"
)
_SCALED = regex.compile(r"(\d++(?:[.,]\d++)?+)[ \-]?(1000000000|1000000|1000)\b")
_SCALES = regex.compile(
    r"(?<=\d)\s?(?:(thousand|tausend|mil(?:le|a)?|тыс(?:яч\w?)?|[千])|(million\w*|mio\.?|milion[ei]|mill[oó]n(?:es)?|млн|миллион\w*)"
    r"|(billion|milliard\w*|mrd|bn|miliard[oi]|млрд|миллиард\w*))\b",
    regex.IGNORECASE,
)
_GROUPED = regex.compile(
    r"(?<![\d.,])\d{1,3}([.,'\u2019\u00a0\u202f\ ])\d{3}(?:\1\d{3})*+(?![.,]?\d)"
)
_TIME = regex.compile(r"(\d{1,2})[:.h](\d\d)|(\d{1,2})")
_SPOKEN_TIME = regex.compile(r"(?<=\b\d{1,2})\s?(?:Uhr|h)\s?(?=\d\d\b)|(?<=\b\d{1,2})点(?=\d\d分?)")
_HALF_DAY = regex.compile(r"\s?([ap])\.?\s?m\b\.?", regex.IGNORECASE)
_OCLOCK = regex.compile(r"\s?(?:Uhr|o['\u2019]clock|h(?:eures?)?\b|点)", regex.IGNORECASE)
_MOST_PARTS = 4  # of a part of a number, as of an address
_SEPARATOR = regex.compile(r"([.,:'\u2019\u00a0\u202f ])")

_UNITS = {
    "km": "km|kilomet(?:er|re)s?n?|kil[oó]metros?|chilometr[oi]|километр\\w*|公里|千米",
    "m": "m|met(?:er|re)s?n?|m[eè]tres?|metros?|metr[oi]|метр\\w*|米",
    "cm": "cm|centimet(?:er|re)s?|zentimetern?|cent[ií]metros?|centimetr[oi]|厘米",
    "mm": "mm|millimet(?:er|re)s?n?|mil[ií]metros?|millimetr[oi]|毫米",
    "mile": "mi|miles?|meilen?|millas?|miglia|миль|英里",
    "foot": "ft|f(?:oo|ee)t|fuß",
    "kg": "kg|kilos?|kilogram(?:me?)?s?n?|kilogramos?|chil[oi]|chilogramm[oi]|килограмм\\w*|公斤",
    "g": "g|gram(?:me?)?s?n?|gramos?|gramm[oi]|грамм\\w*|克",
    "tonne": "t|tonnes?|tons?|tonnen|toneladas?|tonnellat[ea]|тонн\\w*|吨",
    "litre": "l|lit(?:er|re)s?n?|litros?|litr[oi]|литр\\w*|升",
    "%": "%|per\\ ?cent|prozent|pour\\ ?cent|por\\ ciento|per\\ cento|процент\\w*",
    "°C": "°\\ ?C|degrees\\ celsius|grad\\ celsius|℃",
    "°F": "°\\ ?F|degrees\\ fahrenheit|℉",
    "knot": "kn|knots?|knoten|n(?:oe|œ)uds?|nudos?|nodi|узл\\w*|节",
    "ms": "ms|milliseconds?|millisekunden?|millisecondes?|milisegundos?|millisecond[oi]|毫秒",
    "s": "s|secs?|seconds?|sekunden?|secondes?|segundos?|second[oi]|секунд\\w*|秒",
    "min": "mins?|minutes?|minuten?|minutos?|minut[oi]|минут\\w*|分钟",
    "hour": "hrs?|hours?|stunden?|heures?|horas?|or[ae]|час(?:а|ов)?|小时",
    "day": "days?|tagen?|jours?|d[ií]as?|giorn[oi]|дн(?:я|ей|и)|день|天",
    "week": "weeks?|wochen?|semaines?|semanas?|settiman[ae]|недел\\w*|周",
    "month": "months?|monaten?|monate|mois|mes(?:es)?|mes[ei]|месяц\\w*|个月",
    "year": "years?|yrs?|jahren?|ans?|ann[ée]es?|años?|ann[oi]|лет|год\\w*|年",
    "kB": "kb|kib|kilobytes?", "MB": "mb|mib|megabytes?", "GB": "gb|gib|gigabytes?",
    "TB": "tb|tib|terabytes?",
    "dollar": "\\$|usd|dollars?|d[oó]lares|dollar[oi]|доллар\\w*|美元",
    "euro": "€|eur|euros?|евро|欧元", "pound": "£|gbp|pounds?",
}  # fmt: skip
_UNIT_NAMES = tuple(_UNITS)
_UNIT = regex.compile(
    r"[\s\-]?(?:" + "|".join(f"({words})" for words in _UNITS.values()) + r")(?![\p{L}--\p{Han}])",
    regex.IGNORECASE | regex.V1,
)
_ANY = "?"
_MONEY = {"$": "dollar", "€": "euro", "£": "pound"}


@lru_cache(maxsize=8192)
def in_digits(text: str, language: str) -> str:
    """`text` with its number words as digits; a single one stays, as it is also an article."""
    if language == "ru":
        text = _CYRILLIC.sub(lambda run: _russian(run[0]), text)
    elif language == "zh":
        text = _CHINESE.sub(lambda run: _chinese(run[0]), text)
    elif language in _OWN:
        text = "".join(_clause(part[0], language) for part in _CLAUSE.finditer(text))
    text = _SCALES.sub(lambda found: f" {1000**found.lastindex}", text)
    written: str = _SCALED.sub(lambda found: _scaled(*found.groups()), text)
    return written


def joined(text: str) -> str:
    """`text` with its numbers without separators between thousands."""
    together: str = _GROUPED.sub(lambda number: regex.sub(r"\D", "", number[0]), text)
    return together


def _clause(text: str, language: str) -> str:
    """`alpha2digit` takes white space and signs as it pleases where it finds a number."""
    if language == "en":  # "a four-man crew"; what is spelt with a hyphen is read without, too
        text = _HYPHEN.sub(" ", text)
    if language == "fr":
        text = _NINE.sub("9", text)
    written: str = alpha2digit(text, language, threshold=1)
    return written


def _scaled(number: str, scale: str) -> str:
    value = float(number.replace(",", ".")) * int(scale)
    return str(round(value)) if value < 1e15 and value == round(value) else f"{number} {scale}"


def _russian(run: str) -> str:
    written: list[str] = []
    total = part = last = 0
    for word in [*run.replace("-", " ").split(" "), ""]:
        low = word.casefold()
        value = 1 if low in _RUSSIAN_ONE else _RUSSIAN.get(low, 0)
        scale = next((n for stem, n in _RUSSIAN_SCALES.items() if low.startswith(stem)), 0)
        if value and (not part or (last > value and _size(last) > _size(value))):
            part, last = part + value, value
            continue
        if scale and (part or not total):
            total, part, last = total + (part or 1) * scale, 0, 0
            continue
        if total + part:
            written.append(str(total + part) if total + part > 1 else "один")
        total, part, last = 0, value, value
        if not value:
            written.append(word)
    return " ".join(written).rstrip(" ") if run[-1] != " " else " ".join(written)


def _size(value: int) -> int:
    """How many digits a word of a number leaves to those after it: 20 leaves one, 12 none."""
    return 1 if value < 20 else len(str(value))


def _chinese(run: str) -> str:
    if run in ("一", "两", "十", "百", "千", "万", "亿"):
        return run
    if all(char in _CHINESE_DIGITS for char in run):
        return "".join(str(_CHINESE_DIGITS[char]) for char in run)
    total = part = digit = 0
    for char in run:
        if char in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[char]
        elif char in _CHINESE_SCALES:
            part, digit = part + (digit or 1) * _CHINESE_SCALES[char], 0
        else:
            total, part, digit = (total + part + digit) * _CHINESE_MYRIADS[char], 0, 0
    return str(total + part + digit)


def claimed(text: str, language: str) -> list[frozenset[str]]:
    """For each number of `text` its readings, one of which must be said."""
    return [_readings(*one)[0] for one in _found(text, language)]


@lru_cache(maxsize=512)  # the same chunks are shown again
def said(text: str, language: str) -> frozenset[str]:
    """Every reading of the numbers of `text`, and their parts: 2026 is in 2026.05.04."""
    every = set[str]()
    for number, unit, time in _found(text, language):
        every |= _readings(number, unit, time)[1]
        pieces = _SEPARATOR.split(number)  # digits, a sign, digits, …
        every.update(
            "".join(pieces[first : first + length])
            for first in range(0, len(pieces), 2)
            for length in range(1, 2 * _MOST_PARTS, 2)
        )
    return frozenset(every)


def _found(text: str, language: str) -> list[tuple[str, str, str]]:
    """Each number, its unit, and `am`, `pm` or `clock` where it is marked as a time."""
    plain = _SPOKEN_TIME.sub(":", in_digits(text, language))
    found: list[tuple[str, str, str]] = []
    for match in _NUMBER.finditer(plain):
        number, end = match[0], match.end()
        half = _HALF_DAY.match(plain, end)
        oclock = _OCLOCK.match(plain, end)
        unit = _UNIT.match(plain, end)
        before = plain[max(0, match.start() - 2) : match.start()].strip()
        if half:
            found.append((number, "", f"{half[1].lower()}m"))
        elif oclock and len(number) <= 5:
            found.append((number, "", "clock"))
        elif unit and unit.lastindex:
            found.append((number, _UNIT_NAMES[unit.lastindex - 1], ""))
        else:
            found.append((number, _MONEY.get(before[-1:], ""), ""))
    return found


def _readings(number: str, unit: str, time: str) -> tuple[frozenset[str], frozenset[str]]:
    """What must be said for this number to be, and what it says itself."""
    moment = _TIME.fullmatch(number)
    if time and moment:
        hour, minute = int(moment[1] or moment[3]), moment[2] or "00"
        if time == "clock":
            at = {f"t{hour}:{minute}"} | ({f"t{hour + 12}:{minute}"} if hour < 12 else set())
            return frozenset({f"t{hour}:{minute}", number}), frozenset({*at, number})
        hour = hour % 12 + (12 if time == "pm" else 0)
        exact = frozenset({f"t{hour}:{minute}"})
        return exact, exact | {number, f"{moment[1] or moment[3]}:{minute}"}
    values = {number}
    if _GROUPED.fullmatch(number):
        values.add(regex.sub(r"\D", "", number))
    if number.count(",") == 1 and "." not in number:
        values.add(number.replace(",", "."))
    # What stands without a unit, as in a table, may have any.
    bare = {f"{value} {_ANY}" for value in values}
    needed = {f"{value} {unit}" for value in values} | bare if unit else set(values)
    every = values | ({f"{value} {unit}" for value in values} if unit else bare)
    if moment and moment[2]:
        hour = int(moment[1])
        same = {f"{hour}:{moment[2]}", f"t{hour}:{moment[2]}"}
        needed |= {f"{hour}:{moment[2]}"} | ({f"t{hour}:{moment[2]}"} if hour > 12 else set())
        every |= same | ({f"t{hour + 12}:{moment[2]}"} if hour < 12 else set())
    return frozenset(needed), frozenset(every)
