"""Small plots as SVG, without a script or a font from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from pathlib import Path

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 28, 40
COLOURS = ("#3367d6", "#d9663a", "#2a9d6f", "#8e5bc4", "#c23b5c", "#8a7a2d")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """Points under a name; `joined` by a line, or dots."""

    name: str
    points: Points
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """What an axis says; on a logarithmic one, values at or below 0 are left out."""

    label: str
    log: bool = False


def plot(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """An SVG element; where there is nothing to show, a paragraph that says so."""
    kept = [
        Series(one.name, [p for p in one.points if _shown(p, x, y)], one.joined) for one in series
    ]
    points = [point for one in kept for point in one.points]
    if not points:
        return "<p>nothing to show</p>"
    across = _Scale([p[0] for p in points], x.log, LEFT, WIDTH - RIGHT)
    up = _Scale([p[1] for p in points], y.log, HEIGHT - BOTTOM, TOP)
    parts = [*_grid(across, up), *_labels(x, y)]
    for number, one in enumerate(kept):
        colour = COLOURS[number % len(COLOURS)]
        placed = [(across(a), up(b)) for a, b in one.points]
        if one.joined:
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
            )
        else:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.8" fill="{colour}" opacity=".55"/>'
                for a, b in placed
            ]
        parts.append(
            f'<text x="{LEFT + 8 + number * 150}" y="{TOP - 12}" fill="{colour}">'
            f"{escape(one.name)}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(y.label)} by {escape(x.label)}">{"".join(parts)}</svg>'
    )


def save(path: Path, svg: str) -> None:
    """Write a plot as a file of its own, which carries the colours that a page would give it."""
    style = "line{stroke:#d9dee6}text{font:12px sans-serif}text:not([fill]){fill:#66707f}"
    opened = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    path.write_text(opened.replace(">", f"><style>{style}</style>", 1) + "\n")


class _Scale:
    """From values to pixels."""

    def __init__(self, values: Sequence[float], log: bool, start: float, end: float) -> None:
        self._log, self._start, self._end = log, start, end
        low, high = min(values), max(values)
        if log:
            low, high = 10 ** floor(log10(low)), high * 1.1
        else:
            low = min(0.0, low)
        self.low, self.high = low, high if high > low else low + 1

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self._log:
            low, high, value = log10(low), log10(high), log10(value)
        return self._start + (value - low) / (high - low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Round values, five to ten or a power of ten each."""
        if self._log:
            first = round(log10(self.low))
            steps = [m * 10.0**n for n in range(first, first + 12) for m in (1, 2, 5)]
            shown = [step for step in steps if self.low <= step <= self.high]
            return shown if len(shown) <= 9 else [s for s in shown if f"{s:e}"[0] == "1"]
        rough = (self.high - self.low) / 5
        size = 10.0 ** floor(log10(rough))
        step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough)
        first = floor(self.low / step)
        return [n * step for n in range(first, first + 12) if self.low <= n * step <= self.high]


def _shown(point: tuple[float, float], x: Axis, y: Axis) -> bool:
    return (point[0] > 0 or not x.log) and (point[1] > 0 or not y.log)


def _grid(across: _Scale, up: _Scale) -> list[str]:
    parts = []
    for tick in up.ticks():
        at = up(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    for tick in across.ticks():
        at = across(tick)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{_number(tick)}</text>"
        )
    return parts


def _labels(x: Axis, y: Axis) -> list[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x.label)}</text>",
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escape(y.label)}</text>",
    ]


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else f"{value:.0e}"
