"""Filters as Qdrant evaluates them, which must not hang on whether a field has an index.

An index of one kind answers a range of another kind with nonsense, which `filters.read` refuses for
the fields that have one. Numbers are compared as doubles: a small one is equal by a range of
itself, so that 1 finds 1.0; a large one only as a whole number.
"""

from datetime import datetime
from typing import Any

from qdrant_client import models

from retriever.index.filters import EXACT, Condition, Filters, OneOf, Value, Within


def conditions(filters: Filters) -> tuple[list[models.Condition], list[models.Condition]]:
    """What must hold of a point, and what must not."""
    must: list[models.Condition] = []
    must_not: list[models.Condition] = []
    for one in filters:
        (must_not if one.negated else must).append(_condition(one))
    return must, must_not


def _condition(asked: Condition) -> models.Condition:
    key = asked.key
    must = [_test(key, test) for test in asked.met]
    must_not = [_test(key, test) for test in asked.unmet]
    if asked.present is not None:
        (must_not if asked.present else must).append(_is_empty(key))
    if len(must) == 1 and not must_not:
        return must[0]
    return models.Filter(must=must or None, must_not=must_not or None)


def _test(key: str, test: Within | OneOf) -> models.Condition:
    if isinstance(test, Within):
        return models.FieldCondition(key=key, range=_range(test))
    either = [*_equals(key, test.values)]
    return either[0] if len(either) == 1 else models.Filter(should=either)


def _equals(key: str, values: tuple[Value, ...]) -> list[models.Condition]:
    either: list[models.Condition] = []
    texts = [one for one in values if isinstance(one, str)]
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    large = [one for one in numbers if isinstance(one, int) and abs(one) >= EXACT]
    if texts:
        either.append(_match(key, texts))
    if large:
        either.append(_match(key, large))
    either += [
        models.FieldCondition(key=key, range=models.Range(gte=one, lte=one))
        for one in numbers
        if abs(one) < EXACT
    ]
    either += [
        models.FieldCondition(key=key, match=models.MatchValue(value=one))
        for one in values
        if isinstance(one, bool)
    ]
    if None in values:
        either.append(_is_empty(key))
    return either


def _match(key: str, values: list[Any]) -> models.FieldCondition:
    if len(values) == 1:
        return models.FieldCondition(key=key, match=models.MatchValue(value=values[0]))
    return models.FieldCondition(key=key, match=models.MatchAny(any=values))


def _is_empty(key: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _range(within: Within) -> models.Range | models.DatetimeRange:
    ends: dict[str, Any] = {}
    if within.low:
        ends["gte" if within.low.included else "gt"] = within.low.value
    if within.high:
        ends["lte" if within.high.included else "lt"] = within.high.value
    moments = any(isinstance(end, datetime) for end in ends.values())
    return models.DatetimeRange(**ends) if moments else models.Range(**ends)
