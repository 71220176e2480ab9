"""A chart's data as a table: a row for each category, a column for each series."""

from parser.readers.word.names import A, C, Element
from parser.tables import table

_MOST_POINTS = 5_000


def chart(root: Element) -> str:
    """The chart of an Office file's chart part, under its title; empty where it has no data."""
    title = " ".join(
        "".join(one.text or "" for one in top.iter(A + "t"))
        for top in root.findall(f".//{C}chart/{C}title")
    )
    names, columns = [""], []
    categories: dict[int, str] = {}
    for series in root.iter(C + "ser"):
        told = series.find(C + "tx")
        names.append(_first(told) or f"Series {len(names)}")
        for place in (C + "cat", C + "xVal"):
            if not categories and (found := series.find(place)) is not None:
                categories = _points(found)
        values = series.find(C + "val")
        values = series.find(C + "yVal") if values is None else values
        columns.append(_points(values) if values is not None else {})
    places = sorted({place for column in (categories, *columns) for place in column})[:_MOST_POINTS]
    rows = [
        [categories.get(place, str(place + 1)), *(column.get(place, "") for column in columns)]
        for place in places
    ]
    data = table([["", *names[1:]] if names[1:] else names, *rows]) if rows else ""
    return "\n\n".join(filter(None, (" ".join(title.split()), data)))


def _points(element: Element) -> dict[int, str]:
    """The cached values by their index; of several levels of categories all, joined."""
    found: dict[int, str] = {}
    for point in element.iter(C + "pt"):
        index, value = point.get("idx") or "", point.find(C + "v")
        if index.isdecimal() and value is not None and value.text:
            place = int(index)
            found[place] = f"{value.text} {found[place]}" if place in found else _number(value.text)
    return found


def _first(element: Element | None) -> str:
    value = element.find(f".//{C}v") if element is not None else None
    return (value.text or "").strip() if value is not None else ""


def _number(text: str) -> str:
    """A number without the digits that only its binary form has: .30000000000000004."""
    try:
        return f"{float(text):.12g}" if "." in text and len(text) > 12 else text
    except ValueError:
        return text
