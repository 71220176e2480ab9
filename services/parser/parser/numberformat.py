"""A spreadsheet's values as its reader sees them: `0.0725` in the format `0.0%` is `7.3%`."""

import re
from datetime import date, datetime, time, timedelta

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)[^\]]*\]|\[[^\]]*\]|_.|\*.'
    r"|(?P<digits>[#0?][#0?,]*(?:\.[#0?]+)?|\.[#0?]+)(?P<scale>,*)|(?P<exponent>E[+-]0+)"
    r"|(?P<percent>%)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_SECTION = re.compile(r'(?:"[^"]*"|\\.|\[[^\]]*\]|[^;])+|(?<=;)(?=;|$)')
_LONGEST = 200


def shown(value: object, form: str) -> str:
    """A cell's value by its number format; dates in ISO's form, whatever their format."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case datetime():
            if value.time() == time(0):
                return value.date().isoformat()
            return value.isoformat(" ", "minutes" if not value.second else "seconds")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("minutes" if not value.second else "seconds")
        case timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
        case int() | float():
            return _number(value, form)
    return str(value)


def _number(value: float, form: str) -> str:
    if not form or form.lower() in ("general", "@") or len(form) > _LONGEST or "/" in form:
        return general(value)
    sections = _SECTION.findall(form)
    section, signed = sections[0] if sections else form, value
    if len(sections) > 1 and value < 0:
        section, signed = sections[1], -value
    elif len(sections) > 2 and value == 0:
        section = sections[2]
    tokens = list(_TOKEN.finditer(section))
    digits = [one for one in tokens if one["digits"]]
    if not digits:
        literal = _literals(tokens)
        return literal if literal.strip() or value == 0 else general(value)
    scaled = signed * 100 ** sum(1 for one in tokens if one["percent"])
    if any(one["exponent"] for one in tokens):
        return f"{scaled:.{_decimals(digits[-1]['digits'])}E}"
    scaled /= 1000 ** len(digits[-1]["scale"] or "")
    if len(digits) > 1 and "." not in section:
        return _interspersed(round(abs(scaled)), tokens, scaled < 0)
    told = _digits(abs(scaled), digits[0]["digits"])
    before, after = (
        _literals(part)
        for part in (tokens[: tokens.index(digits[0])], tokens[tokens.index(digits[-1]) + 1 :])
    )
    sign = "-" if scaled < 0 and any(char in "123456789" for char in told) else ""
    return f"{sign}{before}{told}{after}".strip()


def general(value: float) -> str:
    """A number without a format: no digits that only its binary form has."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.11g}" if 1e-9 < abs(value) < 1e15 else f"{value:.6g}"


def _digits(value: float, pattern: str) -> str:
    decimals = _decimals(pattern)
    whole, _, _ = pattern.partition(".")
    told = f"{value:{',' if ',' in whole else ''}.{decimals}f}"
    figures, dot, rest = told.partition(".")
    least = whole.count("0")
    if "," not in whole:
        figures = figures.rjust(least, "0")
    if dot:
        optional = len(pattern) - len(pattern.rstrip("#?"))
        kept = rest.rstrip("0") if optional else rest
        rest = rest[: max(len(kept), decimals - optional)]
        dot = "." if rest else ""
    return figures + dot + rest


def _decimals(pattern: str) -> int:
    return len(pattern.partition(".")[2])


def _interspersed(value: int, tokens: list[re.Match[str]], negative: bool) -> str:
    """Digits with marks between them, such as `000-00-0000`."""
    left, parts = str(value), []
    places = [one for one in tokens if one["digits"]]
    for one in reversed(tokens):
        if one["digits"]:
            size = len(one["digits"].replace(",", ""))
            if one is places[0]:
                part, left = left.rjust(one["digits"].count("0"), "0"), ""
            else:
                part, left = left[-size:].rjust(size, "0"), left[:-size]
            parts.append(part)
        else:
            parts.append(_literals([one]))
    return ("-" if negative else "") + "".join(reversed(parts)).strip()


def _literals(tokens: list[re.Match[str]]) -> str:
    parts = (
        one["quoted"] or one["escaped"] or one["currency"] or one["percent"] or one["other"] or ""
        for one in tokens
    )
    return "".join(parts)
