# ruff: noqa: RUF001 - mathematicians' signs look like others
"""Characters of the fonts Symbol and Wingdings, which files name by their place in the font."""

_SYMBOL = dict(
    zip(
        range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True
    )
) | dict(
    zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)
) | {
    0x22: "∀", 0x24: "∃", 0x2D: "-", 0x40: "≅", 0x5E: "⊥", 0x7E: "∼", 0xA2: "′", 0xA3: "≤",
    0xA5: "∞", 0xAB: "↔", 0xAC: "←", 0xAD: "↑", 0xAE: "→", 0xAF: "↓", 0xB0: "°", 0xB1: "±",
    0xB2: "″", 0xB3: "≥", 0xB4: "×", 0xB5: "∝", 0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠",
    0xBA: "≡", 0xBB: "≈", 0xBC: "…", 0xC5: "⊕", 0xC6: "∅", 0xC7: "∩", 0xC8: "∪", 0xCE: "∈",
    0xCF: "∉", 0xD0: "∠", 0xD1: "∇", 0xD5: "∏", 0xD6: "√", 0xD7: "⋅", 0xDB: "⇔", 0xDE: "⇒",
    0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
_WINGDINGS = {
    0x6C: "•", 0x6E: "■", 0x6F: "☐", 0x71: "☐", 0x72: "☐", 0xA7: "▪", 0xA8: "☐", 0xD8: "➢",
    0xDF: "←", 0xE0: "→", 0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
}  # fmt: skip


def symbol(font: str, code: int) -> str:
    """The character at `code` of a symbol font; empty where it is not known."""
    place = code - 0xF000 if 0xF000 <= code <= 0xF0FF else code
    if font.lower().startswith("symbol"):
        return _SYMBOL.get(place, chr(place) if 0x20 <= place < 0x7F else "")
    if font.lower().startswith("wingdings"):
        return _WINGDINGS.get(place, "")
    return chr(code) if not 0xE000 <= code <= 0xF8FF else ""


def of_font(text: str, font: str) -> str:
    """Text in a symbol font, whose characters are places in it."""
    return "".join(symbol(font, ord(char)) if ord(char) >= 0x20 else char for char in text)
