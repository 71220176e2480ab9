"""The page's colours: two palettes that can be read, and the style sheet that names them."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
LEAST_CONTRAST = 4.5
"""Of text with its background: WCAG 2.2, 1.4.3, level AA."""
_READ = {
    "text": ("ground", "surface", "tint", "mark"),
    "muted": ("ground", "surface"),
    "accent": ("ground", "surface", "tint"),
    "bad": ("ground", "surface"),
    "warn": ("ground", "surface"),
}
"""What is written in which colours on which backgrounds."""


def _hex(value: str) -> str:
    if not _HEX.fullmatch(value):
        raise ValueError(f"{value!r} is no colour; one is written #rrggbb")
    return value.lower()


Colour = Annotated[str, AfterValidator(_hex)]


class Palette(BaseModel):
    """The colours of one scheme, each as `#rrggbb`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ground: Colour
    """Behind the page; also what is written on buttons filled with `accent` or `bad`."""
    surface: Colour
    """Behind fields, dialogs and panels."""
    text: Colour
    muted: Colour
    line: Colour
    accent: Colour
    tint: Colour
    """Behind what is chosen or was asked."""
    bad: Colour
    mark: Colour
    """Behind quoted words."""
    warn: Colour

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        for fore, backs in _READ.items():
            for back in backs:
                found = contrast(getattr(self, fore), getattr(self, back))
                if found < LEAST_CONTRAST:
                    raise ValueError(
                        f"{fore} on {back} has a contrast of {found:.1f}, and needs"
                        f" {LEAST_CONTRAST} to be read"
                    )
        return self


class Colours(BaseModel):
    """What is shown by day and by night, as the browser asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    light: Palette
    dark: Palette

    def style(self) -> str:
        """The style sheet that gives each colour its name."""
        lines = (
            f"  --{name}: light-dark({getattr(self.light, name)}, {getattr(self.dark, name)});"
            for name in Palette.model_fields
        )
        return "\n".join([":root {", *lines, "}", ""])


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:]
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    red, green, blue = (_linear(int(digits[n : n + 2], 16) / 255) for n in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
