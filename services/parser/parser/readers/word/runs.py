"""What stands in a paragraph: its words, with notes, links, formulas and pictures in place."""

from collections.abc import Callable
from dataclasses import dataclass, field

from parser.readers.word.formula import linear
from parser.readers.word.names import DGM, MC, WP, A, C, Element, M, R, V, W, on, val
from parser.readers.word.package import Part
from parser.readers.word.styles import Style, Styles
from parser.readers.word.symbols import of_font, symbol
from parser.words import plain, raised

_RUN, _TEXT, _PROPERTIES = W + "r", W + "t", W + "rPr"
_INNER = frozenset(
    W + name
    for name in ("ins", "moveTo", "smartTag", "customXml", "bdo", "dir", "sdtContent", "rubyBase")
)
_GONE = frozenset(W + name for name in ("del", "moveFrom", "pPr", "rPr", "sdtPr", "sdtEndPr", "rt"))
_BREAKS = frozenset((W + "br", W + "cr"))
_TABS = frozenset((W + "tab", W + "ptab"))
_NOTES = {W + "footnoteReference": "footnotes", W + "endnoteReference": "endnotes"}
_DEEPEST = 60
_LEAST_SIZE = 4  # in half points
_LONGEST_ADDRESS = 500


@dataclass
class Inline:
    """Writes paragraphs' contents, one after another."""

    part: Part
    styles: Styles
    note: Callable[[str, str | None], str]
    """The text of a note, by its kind and id."""
    boxes: list[Element] = field(default_factory=list)
    """Contents of text boxes met since they were last taken: they follow their paragraph."""
    charts: list[str | None] = field(default_factory=list)
    """Relationships of charts and diagrams met since they were last taken."""
    hidden: int = 0
    """Characters that no reader sees, left out."""

    def text(self, paragraph: Element, style: Style) -> str:
        """A paragraph's text on its lines."""
        writing = _Writing(self, style, paper=_on_paper(paragraph, style))
        writing.children(paragraph)
        return writing.finish()


class _Writing:
    def __init__(self, inline: Inline, style: Style, paper: bool) -> None:
        """`paper`: nothing but the white page is behind the words."""
        self._inline = inline
        self._style = style
        self._paper = paper
        self._parts: list[str] = []
        self._raised: list[str] = []
        self._struck = False
        self._fields: list[_Field] = []

    def children(self, element: Element, depth: int = 0) -> None:
        if depth > _DEEPEST:
            return
        for child in element:
            tag = child.tag
            if tag == _RUN:
                self._run(child, depth)
            elif tag in _INNER:
                self.children(child, depth + 1)
            elif tag in _GONE:
                continue
            elif tag == W + "hyperlink":
                related = self._inline.part.related.get(child.get(R + "id") or "")
                address = related.target if related is not None and related.outside else ""
                self._link(address, child, depth)
            elif tag == W + "sdt":
                self._control(child, depth)
            elif tag == W + "fldSimple":
                address = _address(child.get(W + "instr") or "")
                self._link(address, child, depth)
            elif tag in (M + "oMath", M + "oMathPara"):
                for formula in [child] if tag == M + "oMath" else child.findall(M + "oMath"):
                    self._say(f"${' '.join(linear(formula).split())}$")
            elif tag == MC + "AlternateContent":
                if (choice := child.find(MC + "Choice")) is not None:
                    self.children(choice, depth + 1)
            elif tag in (W + "drawing", W + "pict", W + "object"):
                self._picture(child)

    def finish(self) -> str:
        self._end_raised()
        self._strike(False)
        while self._fields:
            self._end_field()
        return plain("".join(self._parts)).strip()

    def _run(self, run: Element, depth: int) -> None:
        properties = run.find(_PROPERTIES)
        hidden, up, struck, font = self._look(properties)
        if hidden:
            self._inline.hidden += sum(len(one.text or "") for one in run.iter(_TEXT))
        for child in run:
            tag = child.tag
            if tag == _TEXT:
                if not hidden and child.text:
                    text = of_font(child.text, font) if font else child.text
                    self._say(text, up, struck)
            elif tag == W + "fldChar":
                self._field_mark(child)
            elif tag == W + "instrText":
                if self._fields:
                    self._fields[-1].instruction += child.text or ""
            elif hidden or tag == _PROPERTIES:
                continue
            elif tag in _TABS:
                self._say("\t")
            elif tag in _BREAKS:
                self._say("\n")
            elif tag == W + "noBreakHyphen":
                self._say("-", up, struck)
            elif tag == W + "sym":
                code = child.get(W + "char") or ""
                try:
                    self._say(symbol(child.get(W + "font") or "", int(code, 16)), up, struck)
                except ValueError:
                    continue
            elif tag in _NOTES:
                if note := self._inline.note(_NOTES[tag], child.get(W + "id")):
                    self._say(f" [{note}]")
            elif tag == W + "ruby":
                self._ruby(child, depth)
            elif tag == MC + "AlternateContent":
                if (choice := child.find(MC + "Choice")) is not None:
                    self._picture(choice)
            elif tag in (W + "drawing", W + "pict", W + "object"):
                self._picture(child)

    def _look(self, properties: Element | None) -> tuple[bool, bool, bool, str]:
        """Whether a run is hidden, raised, struck through; and its symbol font, if it has one."""
        style = self._style
        hidden, up, struck, font = style.hidden, style.raised, style.struck, ""
        if properties is None:
            return hidden, up, struck, font
        if (named := val(properties.find(W + "rStyle"))) is not None:
            own = self._inline.styles.get(named)
            hidden, up, struck = hidden or own.hidden, up or own.raised, struck or own.struck
        if (vanish := properties.find(W + "vanish")) is not None:
            hidden = on(vanish)
        hidden = hidden or self._unseen(properties)
        if (align := val(properties.find(W + "vertAlign"))) is not None:
            up = align == "superscript"
        elif (position := val(properties.find(W + "position"))) is not None:
            up = (
                position.isdecimal()
                and int(position) >= 4
                and properties.find(W + "sz") is not None
            )
        for name in ("strike", "dstrike"):
            if (strike := properties.find(W + name)) is not None:
                struck = on(strike)
        if (fonts := properties.find(W + "rFonts")) is not None:
            told = fonts.get(W + "ascii") or ""
            font = told if told.lower().startswith(("symbol", "wingdings")) else ""
        return hidden, up, struck, font

    def _unseen(self, properties: Element) -> bool:
        """Whether it is white on white, or too small for any eye."""
        white = (val(properties.find(W + "color")) or "").upper() == "FFFFFF"
        if white and self._paper and properties.find(W + "shd") is None:
            return properties.find(W + "highlight") is None
        size = val(properties.find(W + "sz")) or ""
        return size.isdecimal() and int(size) <= _LEAST_SIZE

    def _say(self, text: str, up: bool = False, struck: bool = False) -> None:
        if any(one.silent for one in self._fields):
            return
        if up:
            self._raised.append(text)
            return
        self._end_raised()
        self._strike(struck)
        self._parts.append(text)

    def _end_raised(self) -> None:
        if self._raised:
            text, self._raised = "".join(self._raised), []
            self._parts.append(raised(text) if text.strip() else text)

    def _strike(self, struck: bool) -> None:
        if struck != self._struck:
            self._struck = struck
            self._parts.append("~~")

    def _link(self, address: str, element: Element, depth: int) -> None:
        self._end_raised()
        first = len(self._parts)
        self.children(element, depth + 1)
        self._end_raised()
        self._close_link(first, address)

    def _close_link(self, first: int, address: str) -> None:
        text = "".join(self._parts[first:])
        shown = text.strip()
        bare = address.removeprefix("mailto:").rstrip("/")
        if address and shown and bare.partition("://")[2] not in (shown, shown.rstrip("/")) \
                and bare != shown.rstrip("/"):  # fmt: skip
            space = text[len(text.rstrip()) :]
            self._parts[first:] = [f"[{shown}]({address[:_LONGEST_ADDRESS]}){space}"]

    def _field_mark(self, mark: Element) -> None:
        kind = mark.get(W + "fldCharType")
        if kind == "begin":
            self._end_raised()
            self._fields.append(_Field(len(self._parts), _entered(mark)))
        elif kind == "separate" and self._fields:
            self._fields[-1].silent = False
            self._fields[-1].first = len(self._parts)
        elif kind == "end" and self._fields:
            self._end_raised()
            self._end_field()

    def _end_field(self) -> None:
        ended = self._fields.pop()
        if address := _address(ended.instruction):
            self._close_link(ended.first, address)
        elif ended.entered and not "".join(self._parts[ended.first :]).strip():
            self._say(ended.entered)

    def _control(self, control: Element, depth: int) -> None:
        """A content control; what only asks to be filled in is left out."""
        properties = control.find(W + "sdtPr")
        if properties is not None and on(properties.find(W + "showingPlcHdr")):
            return
        if (content := control.find(W + "sdtContent")) is not None:
            self.children(content, depth + 1)

    def _ruby(self, ruby: Element, depth: int) -> None:
        self.children(ruby, depth + 1)
        reading = "".join(one.text or "" for top in ruby.iter(W + "rt") for one in top.iter(_TEXT))
        if reading:
            self._say(f"({reading})")

    def _picture(self, drawing: Element) -> None:
        """Alternative text now; boxes, charts and diagrams after the paragraph."""
        if drawing.find(f".//{W}vanish") is None:
            told = [one.get("descr") for one in drawing.iter(WP + "docPr")]
            told += [one.get("alt") for one in drawing.iter(V + "shape", V + "imagedata")]
            for alt in dict.fromkeys(filter(None, told)):
                self._say(f" ![{' '.join(alt.split())}] ")
        fallbacks = {box for one in drawing.iter(MC + "Fallback") for box in one.iter()}
        self._inline.boxes += [
            box for box in drawing.iter(W + "txbxContent") if box not in fallbacks
        ]
        self._inline.charts += [one.get(R + "id") for one in drawing.iter(C + "chart")]
        self._inline.charts += [one.get(R + "dm") for one in drawing.iter(DGM + "relIds")]


def _on_paper(paragraph: Element, style: Style) -> bool:
    if style.shaded or paragraph.find(f"{W}pPr/{W}shd") is not None:
        return False
    around = {one.tag for one in paragraph.iterancestors()}
    if around & {W + "tc", W + "txbxContent"}:
        return False
    return paragraph.getroottree().getroot().find(W + "background") is None


@dataclass
class _Field:
    """An open field: its instruction until it is separated, then its result."""

    first: int
    entered: str
    instruction: str = ""
    silent: bool = True


def _address(instruction: str) -> str:
    words = instruction.split()
    if len(words) < 2 or words[0].upper() != "HYPERLINK" or words[1].startswith("\\"):
        return ""
    return words[1].strip('"\u201c\u201d')


def _entered(mark: Element) -> str:
    """What a form's field holds where its result does not show it: a box, a choice."""
    box = mark.find(f".//{W}checkBox")
    if box is not None:
        checked = box.find(W + "checked")
        checked = box.find(W + "default") if checked is None else checked
        return "[x]" if on(checked) else "[ ]"
    choice = mark.find(f".//{W}ddList")
    if choice is None:
        return ""
    entries = [val(one) or "" for one in choice.findall(W + "listEntry")]
    told = val(choice.find(W + "result")) or "0"
    return entries[int(told)] if told.isdecimal() and int(told) < len(entries) else ""


def drawn_words(part: Part) -> str:
    """The words of a diagram's parts, each on a line."""
    lines = ("".join(t.text or "" for t in p.iter(A + "t")) for p in part.root.iter(A + "p"))
    return "\n".join(f"- {line.strip()}" for line in lines if line.strip())
