"""The filters of a search or a list: read as a caller writes them, and what each of them asks.

A filter is an object of field to condition, and all of them must hold. A condition is a value, a
list of values, any of which will do, or an object of operators that must all hold: `gt`, `gte`,
`lt` and `lte` with a number or a date, `any_of` and `none_of` with a list, `exists` with true or
false. Under `not` stand conditions of which none may hold. Null is the value of a field that is
not there. A field that holds a list has each value of it, and one of them must meet a condition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import regex

from bulkhead.errors import InvalidValue

Value = str | int | float | bool | None
DOCUMENT_FIELDS = ("document_id", "source", "title", "media_type")
"""Texts that every document has, beside its metadata."""
EXACT = 2**53
"""Below it each whole number is a double of its own, and ranges compare doubles."""
_NOT = "not"
FILE_METADATA = "file_metadata."
"""Before the name of a field of the file's own."""
_METADATA_KEY = regex.compile(r"(file_metadata\.)?[A-Za-z0-9_-]{1,64}")
_MOST_FIELDS = 64
_MOST_VALUES = 1000
_LONGEST_VALUE = 1000
"""Characters of a title, a source and a text in metadata."""
_RANGE = ("gt", "gte", "lt", "lte")
_OPERATORS = (*_RANGE, "any_of", "none_of", "exists")
_A_DATE = "a date (2024-05-01, 2024-05-01T09:30:00+02:00)"


class Kind(StrEnum):
    """What the values of a metadata field are, where a setting says so."""

    KEYWORD = "keyword"
    NUMBER = "number"
    DATETIME = "datetime"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range, itself in the range or not."""

    value: float | datetime
    included: bool


@dataclass(frozen=True, slots=True)
class Within:
    """A number or a moment between two ends, either of which may be open."""

    low: Bound | None
    high: Bound | None

    def holds(self, value: Value) -> bool:
        """Whether this value lies there. What is of another kind does not."""
        first = self.low or self.high
        assert first is not None
        found: Any = value
        if isinstance(first.value, datetime):
            found = moment(value) if isinstance(value, str) else None
        elif isinstance(value, bool) or not isinstance(value, int | float):
            found = None
        if found is None:
            return False
        low, high = self.low, self.high
        return not (
            (low and (found < low.value or (found == low.value and not low.included)))
            or (high and (found > high.value or (found == high.value and not high.included)))
        )


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values; 1 is 1.0 and is neither "1" nor true."""

    values: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        """Whether this value is one of them."""
        return any(
            value == one and _kind(value) is _kind(one) for one in self.values if one is not None
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of a field: every test of `met`, and none of `unmet`; or, `negated`, not that.

    `present` asks whether it has a value at all.
    """

    field: str
    met: tuple[Within | OneOf, ...] = ()
    unmet: tuple[OneOf, ...] = ()
    present: bool | None = None
    negated: bool = False

    @property
    def key(self) -> str:
        """Where the field is in a point's payload."""
        own = self.field in DOCUMENT_FIELDS or self.field.startswith(FILE_METADATA)
        return self.field if own else f"metadata.{self.field}"

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Whether it holds for a document with these fields."""
        found = fields.get(self.field)
        values: list[Value] = found if isinstance(found, list) else [found]
        values = [value for value in values if value is not None]

        def meets(test: Within | OneOf) -> bool:
            return any(map(test.holds, values)) or (
                not values and isinstance(test, OneOf) and None in test.values
            )

        return self.negated is not (
            all(map(meets, self.met))
            and not any(map(meets, self.unmet))
            and self.present in (None, bool(values))
        )


Filters = tuple[Condition, ...]
"""Conditions that must all hold."""


def read(filters: Mapping[str, Any] | None, kinds: Mapping[str, Kind]) -> Filters:
    """The filters that a caller wrote. `kinds` are of the metadata fields that a setting names.

    Raises `InvalidValue`, naming the field, for what cannot be understood or is too much.
    """
    wanted = dict(filters or {})
    unwanted = wanted.pop(_NOT, {})
    if not isinstance(unwanted, dict):
        raise InvalidValue("filters.not: an object of field to condition")
    if _NOT in unwanted:
        raise InvalidValue("filters.not.not: what must not be met is not nested")
    if len(wanted) + len(unwanted) > _MOST_FIELDS:
        raise InvalidValue(f"filters: at most {_MOST_FIELDS} fields")
    reader = _Reader(kinds)
    return (
        *(reader.condition("filters", *one, negated=False) for one in wanted.items()),
        *(reader.condition("filters.not", *one, negated=True) for one in unwanted.items()),
    )


def matches(filters: Filters, fields: Mapping[str, Any]) -> bool:
    """Whether a document with these fields, its metadata among them, meets the filters."""
    return all(condition.holds(fields) for condition in filters)


class _Reader:
    """Reads conditions, and counts the values in their lists."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._values = 0

    def condition(self, where: str, field: str, value: object, *, negated: bool) -> Condition:
        if field not in DOCUMENT_FIELDS and not _METADATA_KEY.fullmatch(field):
            raise InvalidValue(f"{where}: {field[:64]!r} is not a field or a metadata key")
        where = f"{where}.{field}"
        if not isinstance(value, dict):
            if isinstance(value, list):
                return Condition(field, (self._one_of(where, field, value),), negated=negated)
            return Condition(field, (OneOf((self._value(where, field, value),)),), negated=negated)
        unknown = next((one for one in value if one not in _OPERATORS), None)
        if unknown is not None or not value:
            what = repr(unknown[:64]) if unknown is not None else "nothing"
            raise InvalidValue(f"{where}: {what} is no operator; there are {', '.join(_OPERATORS)}")
        met: list[Within | OneOf] = []
        unmet: list[OneOf] = []
        if bounds := {one: value[one] for one in _RANGE if one in value}:
            met.append(self._within(where, field, bounds))
        if "any_of" in value:
            met.append(self._one_of(f"{where}.any_of", field, value["any_of"]))
        if "none_of" in value:
            unmet.append(self._one_of(f"{where}.none_of", field, value["none_of"]))
        present = value.get("exists")
        if "exists" in value and (not isinstance(present, bool) or field in DOCUMENT_FIELDS):
            raise InvalidValue(
                f"{where}.exists: true or false, of a metadata key: every document has a"
                f" {', '.join(DOCUMENT_FIELDS)}"
            )
        return Condition(field, tuple(met), tuple(unmet), present, negated)

    def _one_of(self, where: str, field: str, values: object) -> OneOf:
        if not isinstance(values, list) or not values:
            raise InvalidValue(f"{where}: a list of 1 to {_MOST_VALUES} values")
        self._values += len(values)
        if self._values > _MOST_VALUES:
            raise InvalidValue(f"filters: at most {_MOST_VALUES} values in all lists together")
        return OneOf(tuple(self._value(where, field, value) for value in values))

    def _value(self, where: str, field: str, value: object) -> Value:
        if field in DOCUMENT_FIELDS and not isinstance(value, str):
            raise InvalidValue(f"{where}: a {field} is text")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if len(value) > _LONGEST_VALUE:
                raise InvalidValue(f"{where}: a text has at most {_LONGEST_VALUE} characters")
            return value
        if not isinstance(value, int | float):
            raise InvalidValue(f"{where}: values are texts, numbers, true, false or null")
        if self._kinds.get(field) is Kind.DATETIME:
            raise InvalidValue(f"{where}: the field holds dates, and here is a number")
        if not fits(value):
            raise InvalidValue(f"{where}: a number has at most 64 bits")
        return whole(value)

    def _within(self, where: str, field: str, bounds: Mapping[str, object]) -> Within:
        if field in DOCUMENT_FIELDS:
            raise InvalidValue(f"{where}: a {field} is text, which has no ranges")
        read = {name: self._bound(where, field, name, value) for name, value in bounds.items()}
        if len({isinstance(bound.value, datetime) for bound in read.values()}) > 1:
            raise InvalidValue(f"{where}: both ends are numbers, or both are dates")
        lows: list[Any] = [read[name] for name in ("gt", "gte") if name in read]
        highs: list[Any] = [read[name] for name in ("lt", "lte") if name in read]
        # The narrower where both are given: a store looks at one of them.
        return Within(
            max(lows, key=lambda bound: (bound.value, not bound.included), default=None),
            min(highs, key=lambda bound: (bound.value, bound.included), default=None),
        )

    def _bound(self, where: str, field: str, name: str, value: object) -> Bound:
        kind = self._kinds.get(field)
        if isinstance(value, str) and kind is not Kind.NUMBER:
            return _of_date(f"{where}.{name}", name, value)
        if isinstance(value, bool | str) or not isinstance(value, int | float):
            raise InvalidValue(f"{where}.{name}: a number or {_A_DATE}")
        if kind is Kind.DATETIME:
            raise InvalidValue(f"{where}.{name}: the field holds dates: {_A_DATE}")
        if not -EXACT < value < EXACT:
            raise InvalidValue(f"{where}.{name}: ranges compare numbers below 2^53")
        return Bound(float(value) + 0.0, name.endswith("e"))  # -0.0 is 0.0


def _of_date(where: str, name: str, text: str) -> Bound:
    """A bound that is a date; one without a time is a whole day, in the range or not."""
    at = moment(text)
    if at is None:
        raise InvalidValue(f"{where}: {text[:64]!r} is neither a number nor {_A_DATE}")
    if len(text.strip()) > len("2024-05-01") or name in ("gte", "lt"):
        return Bound(at, name.endswith("e"))
    try:
        return Bound(at + timedelta(days=1), name == "gt")
    except OverflowError as error:
        raise InvalidValue(f"{where}: the day after it is no date") from error


_DATE = regex.compile(
    r"\s*+(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:[T ](\d\d?):(\d\d?)(?::(\d\d?)(?:\.(\d{1,9}))?(?:\ ?(?:(Z|z)|([+-])(\d\d):?(\d\d)?))?)?)?",
    regex.ASCII,
)


def moment(text: str) -> datetime | None:
    """The moment that a text in metadata names, in UTC, or none where it is no date.

    Written as ISO 8601: `2024-05-01`, `2024-05-01 09:30`, `2024-05-01T09:30:00.5+02:00`. Without a
    zone it is UTC, without a time it is midnight.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups()
    try:
        at = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")), UTC,
        )  # fmt: skip
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return at + offset if sign == "-" else at - offset
    except (ValueError, OverflowError):
        return None


def fits(value: int | float) -> bool:
    """Whether the number has 64 bits; not so a whole one that JSON's reader made a float of.

    Nor NaN.
    """
    return abs(value) < 2**63 or (isinstance(value, int) and value == -(2**63))


def whole(value: int | float) -> int | float:
    """The number, without a fraction where it has none: 5.0 is 5, and -0.0 is 0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kind(value: Value) -> type:
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else str
