"""A logo, checked: a small PNG, or an SVG that can do nothing but be seen."""

import zlib
from dataclasses import dataclass
from xml.etree import ElementTree

MOST_BYTES = 64 * 2**10
_MOST_PIXELS = 2048  # on a side
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "{http://www.w3.org/2000/svg}"
_ACTIVE = {"script", "foreignobject", "iframe", "embed", "object", "handler", "listener"}


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture, and how it is named and sent."""

    content: bytes
    suffix: str
    media_type: str


def read_logo(content: bytes) -> Logo:
    """The logo in a file's bytes. Raises `ValueError`, in words."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"a logo has at most {MOST_BYTES} bytes")
    if content.startswith(_PNG):
        _check_png(content)
        return Logo(content, "png", "image/png")
    _check_svg(content)
    return Logo(content, "svg", "image/svg+xml")


def _check_png(content: bytes) -> None:
    """Whether its chunks are whole, down to the last one."""
    at, kinds = len(_PNG), list[bytes]()
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        chunk = content[at + 4 : at + 8 + length]
        told = content[at + 8 + length : at + 12 + length]
        if len(told) < 4 or zlib.crc32(chunk) != int.from_bytes(told):
            raise ValueError("it begins as a PNG, and is damaged or cut off")
        if not kinds:
            sides = int.from_bytes(chunk[4:8]), int.from_bytes(chunk[8:12])
            if chunk[:4] != b"IHDR" or not 0 < max(sides) <= _MOST_PIXELS:
                raise ValueError(f"a logo has at most {_MOST_PIXELS} pixels on a side")
        kinds.append(chunk[:4])
        at += 12 + length
    if kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds:
        raise ValueError("it begins as a PNG, and is damaged or cut off")


def _check_svg(content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is neither a PNG nor an SVG in UTF-8") from error
    if "<!" in text.replace("<!--", ""):
        raise ValueError("an SVG with a document type or CDATA is not taken; export a plain one")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # without a document type it has no entities
    except ElementTree.ParseError as error:
        raise ValueError(f"it is neither a PNG nor an SVG that can be read ({error})") from error
    if root.tag != f"{_SVG}svg":
        raise ValueError("it is XML, and no SVG")
    for element in root.iter():
        name = str(element.tag).rpartition("}")[2].lower()
        if name in _ACTIVE:
            raise ValueError(f"an SVG with <{name}> is not taken")
        for attribute, value in element.attrib.items():
            short = attribute.rpartition("}")[2].lower()
            if short.startswith("on"):
                raise ValueError(f"an SVG with the script {short}=… is not taken")
            if short in ("href", "src") and not value.strip().startswith(("#", "data:image/")):
                raise ValueError(f"an SVG that refers elsewhere ({short}=…) is not taken")
