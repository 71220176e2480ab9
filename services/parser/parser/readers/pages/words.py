"""The words of a PDF page and where they stand, from PDFium."""

import ctypes
import re
from dataclasses import dataclass, field
from itertools import accumulate, islice

import pypdfium2
import pypdfium2.raw as pdfium

from parser.model import ParseError
from parser.words import plain, raised, unligated

# PDFium joins a word hyphenated at a line's end and marks the place.
HYPHEN = "\ufffe"
_TOKEN = re.compile("[^\\s\ufffe\x02]+")
_INNER_DIGITS = re.compile(r"(?<=[^\W\d])\d+(?=\W|$)|(?<=\d)[^\W\d]$")
_SMALLER, _HIGHER = 0.95, 0.15
"""Of the height of the letters before it, a raised mark has at most so much, and begins so high."""
_TOUCHING = 0.12
"""Of the height of the letters, at most, between them and a mark of theirs: less than a space."""
_LIFTED = 0.4
"""Of its box's height, from which the sign itself begins: a raised glyph of the font's own."""
_PUNCTUATION = ".,;:!?)]\u201d\u2019"
FEW_LETTERS = 20
"""A page with fewer, a stamp's or a page number's, is one of pictures, if it has any."""
_LEAST_PICTURE = 0.05
_MANY_DRAWINGS = 40
_MOST_OBJECTS = 5_000


@dataclass(slots=True)
class Word:
    """A word and its box, in points from the page's upper left corner."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def level(self) -> float:
        """How far down the page its middle is."""
        return (self.y0 + self.y1) / 2

    @property
    def height(self) -> float:
        """The box's height: of its font, not of its letters."""
        return self.y1 - self.y0


@dataclass(slots=True)
class Page:
    """A page as PDFium reads it."""

    number: int
    width: float
    height: float
    words: list[Word] = field(default_factory=list)
    turned: bool = False
    """Its lines run up or down the page; the words' places are as if it had been turned upright."""
    pictures: bool = False
    """It has few letters, and pictures or drawings that may hold more."""

    def is_sparse(self) -> bool:
        """Whether it has fewer letters and figures than a page of text would."""
        few = self.words[:FEW_LETTERS]
        return sum(char.isalnum() for word in few for char in word.text) < FEW_LETTERS


def read(document: pypdfium2.PdfDocument, index: int) -> Page:
    """The page at `index`, from 0. Raises ParseError `invalid`."""
    try:
        page = document[index]
        text_page = page.get_textpage()
        text: str = text_page.get_text_range()
    except (pypdfium2.PdfiumError, ctypes.ArgumentError) as error:
        raise ParseError("invalid", f"Page {index + 1} of the PDF is damaged.") from error
    width, height = page.get_size()
    found = Page(index + 1, width, height)
    _fill(found, text, _Boxes(page, text_page, text))
    text_page.close()
    if found.is_sparse():
        found.pictures = _has_pictures(page, width * height)
    page.close()
    return found


def _has_pictures(page: pypdfium2.PdfPage, area: float) -> bool:
    """Whether images cover some of the page, or so much is drawn that it may be letters."""
    drawings = 0
    try:
        for thing in islice(page.get_objects(), _MOST_OBJECTS):
            if thing.type == pdfium.FPDF_PAGEOBJ_IMAGE:
                left, bottom, right, top = thing.get_bounds()
                if abs((right - left) * (top - bottom)) > _LEAST_PICTURE * area:
                    return True
            drawings += thing.type == pdfium.FPDF_PAGEOBJ_PATH
    except pypdfium2.PdfiumError:
        return True
    return drawings >= _MANY_DRAWINGS


def _clean(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text
    return plain(unligated(text.replace("\0", "")))


class _Boxes:
    """Places of characters on the page as it is shown: cropped and turned."""

    def __init__(
        self, page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage, text: str
    ) -> None:
        self._text_page = text_page.raw
        self._places: list[int] | None = None
        if text_page.count_chars() != len(text):  # PDFium counts in UTF-16
            self._places = list(accumulate((1 + (char > "\uffff") for char in text), initial=0))
        self._rect = pdfium.FS_RECTF()
        self._pointer = ctypes.byref(self._rect)
        left, bottom, right, top = page.get_cropbox()
        self._turn = page.get_rotation() // 90 % 4
        self._edges = left, bottom, right, top

    def __call__(self, index: int) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of a character's box: its font's height, its own width."""
        if self._places is not None:
            index = self._places[index]
        pdfium.FPDFText_GetLooseCharBox(self._text_page, index, self._pointer)
        rect = self._rect
        left, bottom, right, top = self._edges
        match self._turn:
            case 0:
                return rect.left - left, top - rect.top, rect.right - left, top - rect.bottom
            case 1:
                return rect.bottom - bottom, rect.left - left, rect.top - bottom, rect.right - left
            case 2:
                return (
                    right - rect.right,
                    rect.bottom - bottom,
                    right - rect.left,
                    rect.top - bottom,
                )
        return top - rect.top, right - rect.right, top - rect.bottom, right - rect.left

    def lifted(self, index: int, box: tuple[float, float, float, float]) -> bool:
        """Whether the sign itself stands in the upper part of its box, as raised figures do."""
        if self._turn:
            return False
        if self._places is not None:
            index = self._places[index]
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        pdfium.FPDFText_GetCharBox(self._text_page, index, left, right, bottom, top)
        low = float(self._edges[3] - bottom.value)
        return low < box[3] - _LIFTED * (box[3] - box[1])


def _fill(page: Page, text: str, boxes: _Boxes) -> None:
    tokens = []
    ways = [0, 0, 0, 0]  # how many words run to the right, down, to the left, up
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        first = boxes(start)
        last = boxes(end - 1) if end - start > 1 else first
        if last is not first:
            across, along = last[0] - first[0], last[1] - first[1]
            upright = abs(across) > abs(along)
            ways[(0 if across > 0 else 2) if upright else (1 if along > 0 else 3)] += 1
        tokens.append((match, first, last))
    way = max(range(4), key=ways.__getitem__)
    page.turned = way != 0
    before: Word | None = None
    for match, first, last in tokens:
        said = match[0]
        if page.turned:
            first, last = _upright(first, page, way), _upright(last, page, way)
        elif before is not None and _continues(before, first, text[match.start() - 1]):
            before.text += said
            before.x1 = last[2]
            continue
        elif last is not first or (before is not None and len(said) <= 4):
            said, joins = _raised(said, match.start(), first, last, before, boxes)
            if joins and before is not None:
                before.text += said
                before.x1 = last[2]
                continue
        tall = first if first[3] - first[1] >= last[3] - last[1] else last
        hyphen = HYPHEN if text[match.end() : match.end() + 1] in ("\ufffe", "\x02") else ""
        before = Word(
            _clean(said) + hyphen, min(first[0], last[0]), tall[1], max(first[2], last[2]), tall[3]
        )
        if before.text:
            page.words.append(before)
    if page.turned:  # PDFium's order is not that of its lines
        if way != 2:
            page.width, page.height = page.height, page.width
        page.words.sort(key=lambda word: (round(word.level / max(word.height, 1.0)), word.x0))


def _continues(before: Word, box: tuple[float, float, float, float], between: str) -> bool:
    """Whether PDFium broke a line, as before and after a raised mark, where there is none."""
    height = before.height
    return (
        between == "\n"
        and abs(box[0] - before.x1) < _TOUCHING * height
        and abs(box[3] - before.y1) < _TOUCHING * height
    )


def _upright(
    box: tuple[float, float, float, float], page: Page, way: int
) -> tuple[float, float, float, float]:
    """A box on the page turned so that its words run to the right."""
    x0, y0, x1, y1 = box
    match way:
        case 1:
            return y0, page.width - x1, y1, page.width - x0
        case 2:
            return page.width - x1, page.height - y1, page.width - x0, page.height - y0
    return page.height - y1, x0, page.height - y0, x1


def _raised(
    said: str,
    start: int,
    first: tuple[float, float, float, float],
    last: tuple[float, float, float, float],
    before: Word | None,
    boxes: _Boxes,
) -> tuple[str, bool]:
    """The word with its raised part marked; whether all of it is a mark of the word before."""
    if before is not None and len(said) <= 4 and _above(last, (0, before.y0, 0, before.y1)):
        gap = first[0] - before.x1
        if abs(gap) < _TOUCHING * before.height and _above(first, (0, before.y0, 0, before.y1)):
            return raised(said), True
    if _above(last, first):
        place = len(said) - 1
        while place > 1 and _above(boxes(start + place - 1), first):
            place -= 1
        return said[:place] + raised(said[place:]), False
    bare = said.rstrip(_PUNCTUATION)
    if len(bare) > 1 and bare[-1].isdigit() and boxes.lifted(start + len(bare) - 1, first):
        place = len(bare) - 1
        while place > 1 and boxes.lifted(start + place - 1, first):
            place -= 1
        return said[:place] + raised(bare[place:]) + said[len(bare) :], False
    for match in _INNER_DIGITS.finditer(said):
        if _above(boxes(start + match.start()), first):
            return said[: match.start()] + raised(match[0]) + said[match.end() :], False
    return said, False


def _above(
    mark: tuple[float, float, float, float], letters: tuple[float, float, float, float]
) -> bool:
    height = letters[3] - letters[1]
    return mark[3] - mark[1] < _SMALLER * height and letters[3] - mark[3] > _HIGHER * height
