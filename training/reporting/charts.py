"""Charts as SVG, in the colours of the page around them.

An SVG stands in a page or alone: its texts stay texts, nothing in it comes from outside, and equal
data give equal bytes.

Letters: E epochs, K experts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.artifact.manifest import EpochRecord

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a7a00", "#8c8c8c")
"""They differ for people of any colour vision (Okabe and Ito); the last one is for all the rest."""
INK = "#1a1a1a"
DASHES = ("", "7 3", "2 2", "9 3 2 3")
"""Tell lines of one colour apart."""
ROLE_COLOURS = {"dominant": "#0072b2", "balanced": "#009e73", "complementary": "#d55e00"}
"""Colours of the experts' roles."""
_GROUND, _QUIET, _FAINT = "#ffffff", "#4d4d4d", "#e0e0e0"
_PAGE_COLOURS = {
    _GROUND: "ground",
    INK: "text",
    _QUIET: "quiet",
    _FAINT: "line",
    **{colour: role for role, colour in ROLE_COLOURS.items()},
}
"""Colours that a page may change, by the name of its CSS variable."""
_WIDTH, _PANEL, _AROUND = 880, 236, 88
"""Pixels: width of a line chart, height of a panel with its title, height above and below all
panels."""
_NAMES = 0.76
"""Left edge of the lines' names, as a share of the width."""
_LEAST_SPAN = 0.01
"""Least range of a vertical axis, so that noise is not drawn large."""
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "figure.dpi": 72,  # a point is a pixel
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": _FAINT,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
    "axes.autolimit_mode": "round_numbers",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": _FAINT,
    "lines.scale_dashes": False,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.labelcolor": _QUIET,
    "ytick.labelcolor": _QUIET,
    "legend.frameon": False,
    "legend.labelcolor": "linecolor",
    "legend.handlelength": 2.5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line."""

    name: str
    values: Sequence[float]
    """One per epoch, from the first on."""
    colour: str
    at: Sequence[float] = ()
    """Positions of the values, ascending; by default the epochs."""
    dashes: str = ""
    """Lengths of strokes and gaps in pixels; empty for a full line."""
    width: float = 2

    @property
    def places(self) -> Sequence[float]:
        """Positions of the values on the horizontal axis."""
        return self.at or range(1, len(self.values) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines that share a vertical axis."""

    title: str
    series: Sequence[Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line through all panels."""

    epoch: float
    name: str


def expert_shares(names: Sequence[str], share_EK: Sequence[Sequence[float]]) -> Panel:
    """Every expert's share of the routing by epoch, in units of an even share.

    Args:
        names: of the experts; what stands before the first `_` is the role, which has a colour.
        share_EK: one row per epoch, which sums to 1.
    """
    places: dict[str, int] = {}
    lines = []
    for k, name in enumerate(names):
        role = name.partition("_")[0]
        place = places[role] = places.get(role, -1) + 1
        lines.append(
            Series(
                name=name,
                values=[len(share_K) * share_K[k] for share_K in share_EK],
                colour=ROLE_COLOURS.get(role, INK),
                dashes=DASHES[place % len(DASHES)],
            )
        )
    return Panel(title="share of an expert (1: even)", series=lines)


def entropies(history: Sequence[EpochRecord]) -> Panel:
    """The two entropies of the routing by epoch."""
    coverage, pair = [x.coverage_entropy for x in history], [x.pair_entropy for x in history]
    series = (
        Series(name="of the mean routing", values=coverage, colour=COLOURS[0]),
        Series(name="of single pairs", values=pair, colour=COLOURS[4]),
    )
    return Panel(title="entropy over log K", series=series)


def specialisation(epoch: int | None) -> Mark | None:
    """The epoch after which the second stage begins; None if it never does."""
    if epoch is None:
        return None
    return Mark(epoch=epoch, name=f"specialisation begins after epoch {epoch}")


def draw_lines(
    title: str, panels: Sequence[Panel], mark: Mark | None = None, *, unit: str = "epoch"
) -> str:
    """Line charts one below the other.

    Args:
        title: stands above all panels.
        panels: at least one; every series has at least one value.
        mark: an event.
        unit: of the horizontal axis.
    """
    height = len(panels) * _PANEL + _AROUND
    with rc_context(_STYLE | {"svg.hashsalt": title}):  # ids differ between charts
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        figure.patch.set_facecolor(_GROUND)
        figure.suptitle(title, x=60 / _WIDTH, y=1 - 12 / height, ha="left", weight="bold", size=15)
        axes_P = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(
            left=60 / _WIDTH,
            right=_NAMES - 0.01,
            top=1 - 78 / height,
            bottom=44 / height,
            hspace=46 / (_PANEL - 46),
        )
        for axes, panel in zip(axes_P, panels, strict=True):
            _draw_panel(axes, panel)
        if mark is not None:
            for axes in axes_P:
                axes.axvline(mark.epoch, color=_QUIET, linewidth=1, dashes=(5, 4), clip_on=False)
            axes_P[0].annotate(
                mark.name,
                (mark.epoch, 1),
                (0, 22),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=_QUIET,
                annotation_clip=False,
            )
        drawn = [series for panel in panels for series in panel.series]
        first = 0 if any(series.at for series in drawn) else 1
        last = max(series.places[-1] for series in drawn)
        axes_P[-1].locator_params(axis="x", integer=True, nbins=10)
        axes_P[-1].set_xlim(min(first, mark.epoch) if mark else first, max(last, 2))
        axes_P[-1].set_xlabel(unit, loc="left", color=_QUIET)
        svg = _svg(figure, title)
    for colour, name in _PAGE_COLOURS.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    return svg


def _draw_panel(axes: Axes, panel: Panel) -> None:
    """Lines in the order of their last values, which is that of their names at the right."""
    axes.set_title(panel.title)
    axes.grid(axis="y", clip_on=False)
    for series in sorted(panel.series, key=lambda series: -series.values[-1]):
        dashes = tuple(map(float, series.dashes.split()))
        axes.plot(
            series.places,
            series.values,
            label=series.name,
            color=series.colour,
            linewidth=series.width,
            linestyle=(0, dashes) if dashes else "-",
            clip_on=False,
            gid="series",
        )
    axes.locator_params(axis="y", nbins=5, steps=[1, 2, 5, 10])
    low, high = axes.dataLim.intervaly
    if high - low < _LEAST_SPAN:
        axes.set_ylim(low - _LEAST_SPAN / 2, low + _LEAST_SPAN / 2)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0)


def _svg(figure: Figure, title: str) -> str:
    """The figure with a title for screen readers.

    Groups lose their ids, which would occur twice where a page has several charts; those of what
    is drawn here become classes.
    """
    written = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = svg.replace('<g id="series"', '<g class="series"')
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', svg)
    return svg.replace("<svg ", '<svg role="img" ', 1).replace(
        ">", f">\n <title>{escape(title)}</title>", 1
    )
