"""What was filled into a PDF's form, typed onto its pages, or linked: no part of the text layer."""

from collections.abc import Sequence

from liteparse.types import DocumentAnnotation, FormField

from parser.readers.pages.words import Page, Word
from parser.words import plain

_NOT_SHOWN = frozenset(("pushbutton", "signature", "unknown"))
_LONGEST_ADDRESS = 500


def fill_in(page: Page, fields: Sequence[FormField]) -> None:
    """Add the values of the page's form fields to its words, each where it stands."""
    for field in fields:
        value = _value(field)
        if value and field.rect is not None:
            rect = field.rect
            _place(page, value, rect.x, rect.y, rect.x + rect.width, rect.y + rect.height)


def _value(field: FormField) -> str:
    if field.type in _NOT_SHOWN:
        return ""
    if field.type in ("checkbox", "radio", "radiobutton"):
        return "[x]" if field.checked else "[ ]"
    return " ".join(field.selected_options) or (field.value or "")


def type_on(page: Page, annotations: Sequence[DocumentAnnotation]) -> None:
    """Add what was typed onto the page, and the addresses that its words lead to."""
    for one in annotations:
        if one.rect is None:
            continue
        x0, y0 = one.rect.x, one.rect.y
        x1, y1 = x0 + one.rect.width, y0 + one.rect.height
        if one.subtype.lower() == "freetext" and one.contents:
            _place(page, one.contents, x0, y0, x1, y1)
        elif one.uri:
            _link(page, one.uri, x0, y0, x1, y1)


def _link(page: Page, address: str, x0: float, y0: float, x1: float, y1: float) -> None:
    words = [
        word
        for word in page.words
        if x0 - 1 <= (word.x0 + word.x1) / 2 <= x1 + 1 and y0 - 1 <= word.level <= y1 + 1
    ]
    shown = "".join(word.text for word in words)
    bare = address.removeprefix("mailto:").partition("://")[2] or address.removeprefix("mailto:")
    if not words or bare.rstrip("/") in shown or shown.rstrip("/.,") in address:
        return
    words[0].text = f"[{words[0].text}"
    last = words[-1].text
    end = last[len(last.rstrip(".,;:!?")) :]
    words[-1].text = f"{last.removesuffix(end)}]({address[:_LONGEST_ADDRESS]}){end}"


def _place(page: Page, text: str, x0: float, y0: float, x1: float, y1: float) -> None:
    """Put a text into the page's words: behind its label, before it, or after what is above it."""
    said = " ".join(plain(text).split())
    if not said:
        return
    middle = (y0 + y1) / 2
    level = [n for n, one in enumerate(page.words) if one.y0 <= middle <= one.y1]
    left = [n for n in level if page.words[n].x1 <= x0 + 2]
    right = [n for n in level if page.words[n].x0 >= x1 - 2]
    if left:
        label = page.words[max(left, key=lambda n: page.words[n].x1)]
        label.text = f"{label.text} {said}"
    elif right:
        label = page.words[min(right, key=lambda n: page.words[n].x0)]
        label.text = f"{said} {label.text}"
    else:
        above = [n for n, one in enumerate(page.words) if one.y1 <= middle]
        at = max(above, key=lambda n: (page.words[n].y1, n)) + 1 if above else 0
        page.words.insert(at, Word(said, x0, y0, x1, y1))
