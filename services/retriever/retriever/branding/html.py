"""The page's markup, with the texts of one language in it."""

import json
import re
from collections.abc import Mapping
from html import escape

from retriever.branding.languages import Words

_PLACE = re.compile(r"\{([a-z][\w.]*)\}")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\((#?\w+)\)")


def render(template: str, words: Words, values: Mapping[str, str]) -> str:
    """`template` with texts in its places; `values` are markup and stand in those that they name.

    Of a text nothing is markup but code between backticks and links to the page's own places.
    """

    def filled(place: re.Match[str]) -> str:
        name = place[1]
        return values[name] if name in values else _marked(words[name])

    return _PLACE.sub(filled, template)


def _marked(text: str | Mapping[str, str]) -> str:
    assert isinstance(text, str)
    coded = _CODE.sub(r"<code>\1</code>", escape(text))
    return _LINK.sub(r'<a href="\2">\1</a>', coded)


def in_markup(template: str) -> frozenset[str]:
    """What the places of a template are named."""
    return frozenset(_PLACE.findall(template))


def as_data(words: Mapping[str, object]) -> str:
    """The texts as JSON that can stand in a data block of a page."""
    text = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def as_options(names: Mapping[str, str], chosen: str) -> str:
    """The languages, each by its own name, as the options of a list."""
    return "".join(
        f'<option value="{escape(code)}" lang="{escape(code)}"'
        f"{' selected' if code == chosen else ''}>{escape(name)}</option>"
        for code, name in names.items()
    )
