"""Names of Office Open XML, as lxml writes them."""

from typing import Any

Element = Any  # lxml has no types

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
V = "{urn:schemas-microsoft-com:vml}"
DC = "{http://purl.org/dc/elements/1.1/}"
PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"

_STRICT = tuple(
    (
        f"http://purl.oclc.org/ooxml/{strict}".encode(),
        f"http://schemas.openxmlformats.org/{usual}".encode(),
    )
    for strict, usual in (
        ("wordprocessingml/main", "wordprocessingml/2006/main"),
        ("officeDocument/math", "officeDocument/2006/math"),
        ("officeDocument/relationships", "officeDocument/2006/relationships"),
        ("drawingml/main", "drawingml/2006/main"),
        ("drawingml/chart", "drawingml/2006/chart"),
        ("drawingml/diagram", "drawingml/2006/diagram"),
        ("drawingml/wordprocessingDrawing", "drawingml/2006/wordprocessingDrawing"),
        ("presentationml/main", "presentationml/2006/main"),
        ("spreadsheetml/main", "spreadsheetml/2006/main"),
    )
)


def usual(content: bytes) -> bytes:
    """A part's XML with the namespaces of the strict kind of the format replaced by the usual."""
    if b"purl.oclc.org/ooxml" in content:
        for strict, name in _STRICT:
            content = content.replace(strict, name)
    return content


def val(element: Element | None, name: str = "val") -> str | None:
    """An attribute of Word's own namespace; none where the element is."""
    return None if element is None else element.get(W + name)


def on(element: Element | None) -> bool:
    """Whether a switch is there and on."""
    return element is not None and (element.get(W + "val") or "1") not in ("0", "false", "off")
