"""The languages of the page: a file each, with the same texts in it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from retriever.branding.placeholders import places

Words = dict[str, str | dict[str, str]]
"""Texts by key; one that counts something has a form for each of the language's plurals."""

NAME = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
REFERENCE = "en"
"""The language whose file says which texts there are and which places they have."""
_FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})
_LONGEST = 2000
_LINK = re.compile(r"\[[^\]]+\]\((#?\w+)\)")
_SHOWN = 5


def read_words(text: str) -> Words:
    """The texts of a language's file. Raises `ValueError`, in words."""
    try:
        read = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError("it is no JSON object of texts by their keys")
    for key, value in read.items():
        _check(key, value)
    return read


def complete(own: Words, packaged: Words | None, reference: Words) -> Words:
    """A language's texts: its `own` over the `packaged` ones. Raises `ValueError`, in words.

    They are those of the `reference`, all of them, with the same places and links in each.
    """
    if unknown := own.keys() - reference.keys():
        raise ValueError(f"the page has no text named {_listed(unknown)}")
    words = {**(packaged or {}), **own}
    if missing := reference.keys() - words.keys():
        raise ValueError(f"it lacks {_listed(missing)}")
    for key, value in own.items():
        _agree(key, value, reference[key])
    return {key: words[key] for key in reference}


def choose(header: str, offered: Sequence[str]) -> str:
    """The language that `Accept-Language` would have most, of those offered; else the first."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(","):
        name, _, told = part.partition(";")
        share = told.strip().removeprefix("q=")
        try:
            quality = float(share) if share else 1.0
        except ValueError:
            continue
        wanted.append((quality, name.strip().lower()))
    for quality, name in sorted(wanted, key=lambda one: -one[0]):
        if quality <= 0:
            break
        while name:
            for language in offered:
                if language.lower() == name:
                    return language
            name = name.rpartition("-")[0]
    return offered[0]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has {_listed({key for key in keys if keys.count(key) > 1})} twice")
    return found


def _check(key: str, value: object) -> None:
    forms = value if isinstance(value, dict) else {"other": value}
    if "other" not in forms or not forms.keys() <= _FORMS:
        told = (
            "plural forms are zero, one, two, few, many and other, of which other has to be there"
        )
        raise ValueError(f"{key}: {told}")
    for text in forms.values():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{key}: there is no text in it")
        if len(text) > _LONGEST:
            raise ValueError(f"{key}: a text has at most {_LONGEST} characters")


def _agree(key: str, value: str | Mapping[str, str], reference: str | Mapping[str, str]) -> None:
    if isinstance(value, dict) and isinstance(reference, str):
        raise ValueError(f"{key}: it counts nothing, and has no plural forms")
    wanted = _places(key, reference)
    for text in value.values() if isinstance(value, Mapping) else (value,):
        found = _places(key, text)
        if (missing := wanted - found - {"n"}) or (missing := found - wanted):
            named = ", ".join(f"{{{name}}}" for name in sorted(missing))
            raise ValueError(
                f"{key}: {'it lacks' if missing <= wanted else 'nothing fills'} {named}"
            )
    if strange := _links(value) - _links(reference):
        raise ValueError(f"{key}: a link to {_listed(strange)} is not one of the page's")


def _places(key: str, value: str | Mapping[str, str]) -> frozenset[str]:
    texts = value.values() if isinstance(value, Mapping) else (value,)
    try:
        return frozenset().union(*map(places, texts))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _links(value: str | Mapping[str, str]) -> set[str]:
    texts = value.values() if isinstance(value, Mapping) else (value,)
    return {link for text in texts for link in _LINK.findall(text)}


def _listed(names: set[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
