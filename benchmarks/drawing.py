"""Pictures of measurements as SVG: lines over time and grouped bars, several charts to a picture.

    picture = drawing.picture([Lines(...), Bars(...)], title="...", columns=2)
    (report.RESULTS / "simulate.svg").write_text(picture)

The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f", "#000000")
WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 66, 52
HEADER = 58
INK, GREY, GRID = "#222222", "#666666", "#e4e4e4"


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in order of x; a y of None interrupts the line."""

    name: str
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over one x axis.

    Attributes:
        limits: dashed horizontals with a name, such as goals.
        log: whether y is logarithmic; what lies below `least` is drawn there.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    limits: Mapping[str, float] = field(default_factory=dict)
    log: bool = False
    least: float = 0.01


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars: `bars[name][n]` belongs to `groups[n]`; None is left out."""

    title: str
    y: str
    groups: Sequence[str]
    bars: Mapping[str, Sequence[float | None]]
    limits: Mapping[str, float] = field(default_factory=dict)
    log: bool = False
    least: float = 0.01


Chart = Lines | Bars


def picture(charts: Sequence[Chart], *, title: str, subtitle: str = "", columns: int = 2) -> str:
    """The charts side by side and below each other, as one SVG document."""
    columns = max(1, min(columns, len(charts)))
    width = columns * WIDTH
    height = HEADER + -(-len(charts) // columns) * HEIGHT + 8
    parts = [
        _opening(width, height),
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(20, 30, title, size=19, weight=600),
        _text(20, 50, subtitle, size=12, colour=GREY),
    ]
    for place, chart in enumerate(charts):
        x, y = place % columns * WIDTH, HEADER + place // columns * HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_chart(chart), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _opening(width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" font-family="system-ui, DejaVu Sans, sans-serif">'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values to pixels along one axis, and where its ticks stand."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high = self._warped(self.low), self._warped(self.high)
        part = (self._warped(max(self.low, min(self.high, value))) - low) / (high - low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            return [tick for tick in powers if self.low <= tick <= self.high * 1.0001]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _warped(self, value: float) -> float:
        return math.log10(value) if self.log else value


def _chart(chart: Chart) -> list[str]:
    match chart:
        case Lines():
            values = [y for line in chart.lines for _, y in line.points if y is not None]
            names = [line.name for line in chart.lines]
        case Bars():
            values = [y for row in chart.bars.values() for y in row if y is not None]
            names = list(chart.bars)
    scale = _y_scale([*values, *chart.limits.values()], log=chart.log, least=chart.least)
    parts = [_text(LEFT, 18, chart.title, size=14, weight=600), *_legend(names)]
    parts += _y_axis(scale, chart.y)
    parts += _lines(chart, scale) if isinstance(chart, Lines) else _bars(chart, scale)
    return parts + _limits(chart.limits, scale)


def _y_scale(values: Sequence[float], *, log: bool, least: float) -> _Scale:
    high = max(values, default=1.0)
    if log:
        power = math.ceil(math.log10(max(high, least * 10)) - 1e-9)
        return _Scale(least, 10.0**power, HEIGHT - BOTTOM, TOP, log=True)
    step = _round_step((high or 1.0) / 5)
    return _Scale(0.0, step * math.ceil((high or 1.0) / step - 1e-9), HEIGHT - BOTTOM, TOP)


def _y_axis(scale: _Scale, label: str) -> list[str]:
    parts = []
    for tick in scale.ticks():
        y = scale.at(tick)
        parts.append(_stroke(LEFT, y, WIDTH - RIGHT, y, GRID))
        parts.append(_text(LEFT - 7, y + 4, _figure(tick), anchor="end", colour=GREY))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 20 {middle})"'
    return [*parts, _text(20, middle, label, anchor="middle", colour=GREY, more=turned)]


def _lines(chart: Lines, scale: _Scale) -> list[str]:
    xs = [x for line in chart.lines for x, _ in line.points] or [0.0]
    across = _Scale(min(xs), max(max(xs), min(xs) + 1e-9), LEFT, WIDTH - RIGHT)
    parts = [_stroke(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, GREY)]
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(_stroke(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, GREY))
        label = _figure(tick)
        parts.append(_text(x, HEIGHT - BOTTOM + 17, label, anchor="middle", colour=GREY))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 14, chart.x, anchor="middle", colour=GREY))
    for place, line in enumerate(chart.lines):
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<path d="{_path(line, across, scale)}" fill="none" stroke="{_colour(place)}"'
            f' stroke-width="1.8" stroke-linejoin="round"{dashes}/>'
        )
    return parts


def _path(line: Line, across: _Scale, scale: _Scale) -> str:
    steps, pen = [], "M"
    for x, y in line.points:
        if y is None:
            pen = "M"
            continue
        steps.append(f"{pen}{across.at(x)} {scale.at(y)}")
        pen = "L"
    return "".join(steps)


def _bars(chart: Bars, scale: _Scale) -> list[str]:
    base = HEIGHT - BOTTOM
    room = (WIDTH - LEFT - RIGHT) / max(1, len(chart.groups))
    thick = min(34.0, room * 0.8 / max(1, len(chart.bars)))
    parts = [_stroke(LEFT, base, WIDTH - RIGHT, base, GREY)]
    for group, name in enumerate(chart.groups):
        middle = LEFT + (group + 0.5) * room
        parts.append(_text(middle, base + 17, name, anchor="middle", colour=GREY))
        for place, row in enumerate(chart.bars.values()):
            if (value := row[group]) is None:
                continue
            x, y = middle + (place - len(chart.bars) / 2) * thick, scale.at(value)
            parts.append(
                f'<rect x="{x + 0.5:.1f}" y="{y}" width="{thick - 1:.1f}"'
                f' height="{max(1.0, base - y):.1f}" fill="{_colour(place)}"/>'
            )
            if thick >= 20:
                label = _figure(value)
                parts.append(_text(x + thick / 2, y - 4, label, anchor="middle", size=10))
    return parts


def _limits(limits: Mapping[str, float], scale: _Scale) -> list[str]:
    parts = []
    for name, value in limits.items():
        y = scale.at(value)
        parts.append(_stroke(LEFT, y, WIDTH - RIGHT, y, INK, dashes="2 3"))
        parts.append(_text(WIDTH - RIGHT - 2, y - 4, name, anchor="end", size=10))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts, x, y = [], float(LEFT), 38
    for place, name in enumerate(names):
        width = 26 + 6.6 * len(name)
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + 16
        box = f'<rect x="{x:.0f}" y="{y - 9}" width="11" height="11" rx="2"'
        parts.append(f'{box} fill="{_colour(place)}"/>')
        parts.append(_text(x + 16, y + 1, name))
        x += width
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    weight: int = 400,
    anchor: str = "start",
    colour: str = INK,
    more: str = "",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}" fill="{colour}" {more}>{escape(text)}</text>'
    )


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashes: str = "") -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"'
        f' stroke-dasharray="{dashes}"/>'
    )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


def _figure(value: float) -> str:
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2g}"
