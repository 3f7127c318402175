"""The file that holds one section per data set, each between its own markers.

Knows text; knows nothing about what stands in it.
"""

# FOLDED training/experiments/reporting.py: Tables, figures and leads in Markdown.
#
#   Knows how a number is written; knows nothing about which numbers stand where.
#
# FOLDED training/experiments/reporting.py: Line charts over epochs, one below the other, as one SVG without anything from outside.
#
#   Knows series of numbers; knows nothing about training.
#

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from xml.sax.saxutils import escape

from training.experiments.outcome import Lead


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as wide as the header."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; nothing if there is no value."""
    if not values:
        return ""
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def lead_text(lead: Lead) -> str:
    """With its interval and what that bears out."""
    return f"{lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}] {lead.verdict}"


WIDTH, LEFT, RIGHT = 880, 60, 210
"""Of the picture and of its margins; the right one holds the names of the lines."""
HEAD, GAP, HEIGHT, FOOT = 44, 46, 190, 44
"""Above the first panel, above each panel, of each panel, and below the last."""
_LINE = 13
"""Least distance of two names."""
_GROUND, _INK = "var(--ground, #ffffff)", "var(--text, #1a1a1a)"
_GREY, _FAINT = "var(--quiet, #4d4d4d)", "var(--line, #e0e0e0)"
"""Those of the page that a chart stands in, if it has any."""
_MOST_TICKS = 6
_LEAST_SPAN = 0.01
"""Of an axis: values that differ by less are drawn as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line."""

    name: str
    values: tuple[float, ...]
    """One per epoch, from the first on."""
    colour: str
    dashes: str = ""
    """SVG's `stroke-dasharray`."""
    width: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines that share a vertical axis."""

    title: str
    series: tuple[Series, ...]

    @property
    def ticks(self) -> list[float]:
        """Round numbers that enclose all values."""
        values = [value for series in self.series for value in series.values]
        return round_ticks(min(values), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line through all panels."""

    epoch: float
    name: str


def draw(
    title: str, panels: Sequence[Panel], mark: Mark | None = None, *, unit: str = "epoch"
) -> str:
    """The SVG; every series has at least one value, and `unit` names what they are counted by."""
    epochs = max(len(series.values) for panel in panels for series in panel.series)
    height = HEAD + len(panels) * (GAP + HEIGHT) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{_GROUND}"/>',
        _text(LEFT, 28, title, 'font-size="15" font-weight="bold"'),
    ]
    for place, panel in enumerate(panels):
        parts += _panel(panel, _top(place), epochs)
    bottom = height - FOOT
    for tick in round_ticks(1, epochs):
        if 1 <= tick <= epochs and tick == round(tick):
            x = _x(tick, epochs)
            parts.append(_text(x, bottom + 17, f"{tick:g}", f'text-anchor="middle" fill="{_GREY}"'))
    parts.append(_text(_x(1, epochs), bottom + 34, unit, f'fill="{_GREY}"'))
    if mark is not None:
        parts += _mark(mark, epochs, len(panels))
    return "\n".join([*parts, "</svg>", ""])


def round_ticks(low: float, high: float) -> list[float]:
    """At most six multiples of 1, 2 or 5 times a power of ten, from below `low` to above `high`."""
    span = max(high - low, _LEAST_SPAN)
    power = 10.0 ** math.floor(math.log10(span / _MOST_TICKS))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < _MOST_TICKS:
            break
    return [step * place for place in range(first, max(last, first + 1) + 1)]


def _panel(panel: Panel, top: int, epochs: int) -> Iterator[str]:
    ticks = panel.ticks

    def y(value: float) -> float:
        return top + HEIGHT * (ticks[-1] - value) / (ticks[-1] - ticks[0])

    yield _text(LEFT, top - 10, panel.title, 'font-weight="bold"')
    for tick in ticks:
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="{_FAINT}"/>'
        )
        yield _text(LEFT - 6, y(tick) + 4, f"{tick:.4g}", f'text-anchor="end" fill="{_GREY}"')
    lines = sorted(panel.series, key=lambda series: y(series.values[-1]))
    name_y_N = spread([y(series.values[-1]) for series in lines])
    for series, name_y in zip(lines, name_y_N, strict=True):
        points = [(_x(n, epochs), y(value)) for n, value in enumerate(series.values, 1)]
        yield from _line(series, points, name_y)


def _line(series: Series, points: Sequence[tuple[float, float]], name_y: float) -> Iterator[str]:
    """One series, and its name at the right, tied to the line's end."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{series.dashes}"' if series.dashes else ""
    yield (
        f'<polyline points="{drawn}" fill="none" stroke="{series.colour}" '
        f'stroke-width="{series.width}"{dashes}/>'
    )
    end_x, end_y = points[-1]
    name_x = WIDTH - RIGHT + 12
    yield (
        f'<line x1="{end_x:.1f}" y1="{end_y:.1f}" x2="{name_x - 3}" y2="{name_y:.1f}" '
        f'stroke="{series.colour}" stroke-width="0.5"/>'
    )
    yield _text(name_x, name_y + 4, series.name, f'fill="{series.colour}"')


def spread(y_N: Sequence[float]) -> list[float]:
    """Heights of names, ascending: as given, but nowhere nearer than a line is high."""
    placed: list[float] = []
    for y in y_N:
        placed.append(max(y, placed[-1] + _LINE) if placed else y)
    overshoot = (sum(placed) - sum(y_N)) / len(y_N)
    return [y - overshoot for y in placed]


def _mark(mark: Mark, epochs: int, num_panels: int) -> Iterator[str]:
    x = _x(mark.epoch, epochs)
    for top in map(_top, range(num_panels)):
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + HEIGHT}" stroke="{_GREY}" '
            'stroke-dasharray="5 4"/>'
        )
    yield _text(x, HEAD + 18, mark.name, f'fill="{_GREY}"')


def _top(place: int) -> int:
    """Of a panel's frame."""
    return HEAD + GAP + place * (GAP + HEIGHT)


def _x(epoch: float, epochs: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(1, epochs - 1)


def _text(x: float, y: float, text: str, attributes: str) -> str:
    fill = "" if "fill=" in attributes else f' fill="{_INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}{fill}>{escape(text)}</text>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where an experiment's report goes, besides standard output."""

    json: Path | None = None
    """File for all figures."""
    document: Path | None = None
    """Markdown file whose section of this name is replaced."""

    def write(self, name: str, section: str, figures: Mapping[str, object]) -> None:
        """Print the section, and write figures and section to their files."""
        sys.stdout.write(section + "\n")
        if self.json:
            self.json.write_text(json.dumps(figures, indent=1) + "\n")
        if self.document:
            update_document(self.document, name, section)


_INTRODUCTION = """# Benchmarks

Each section is written by one command, which stands in it; text between its markers is replaced
when the command runs again.
"""


def update_document(path: Path, name: str, text: str) -> None:
    """Replace the section of this name, or append it; all else stays as it is.

    Raises:
        ValueError: the document has a start marker without its end.
    """
    start, end = (f"<!-- benchmark {name} {x} -->" for x in ("start", "end"))
    section = f"{start}\n{text}\n{end}"
    document = path.read_text(encoding="utf-8") if path.exists() else _INTRODUCTION
    if start in document:
        before, rest = document.split(start, 1)
        if end not in rest:
            raise ValueError(f"{path} has {start!r} but not {end!r}: restore it or remove both")
        document = before + section + rest.split(end, 1)[1]
    else:
        document = f"{document.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, encoding="utf-8")
