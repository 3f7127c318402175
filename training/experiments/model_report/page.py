"""A portrait as one HTML page that needs nothing from outside.

Knows findings and a manifest; knows nothing about how they came about.
"""

# FOLDED training/experiments/model_report/page.py: The pictures of a portrait, as SVG in the colours of the page around them.
#
#   Knows findings; knows nothing about how they came about.
#
#   Letters: K experts, Q groups, S items drawn.
#

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from model.artifact.manifest import ArtifactManifest
from training.experiments.model_report.findings import (
    LENGTH,
    OTHERS,
    EmbeddingMap,
    ExpertMap,
    Findings,
    Tail,
)

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a7a00", "#8c8c8c")
"""Told apart by people of any colour vision (Okabe and Ito); the last one is for what is left."""
_WIDTH = 880
_LEFT, _CELL, _HEAD = 190, 26, 22
_SIDE, _MARGIN = 280, 12
_DARK = 0.88
"""Shade of the first colour from which on white is easier to read than ink (4.2 to 1)."""
_BAR, _GAP = 15, 14


def category_colours(categories: Sequence[str]) -> list[str]:
    """One for each."""
    return [
        COLOURS[-1] if name == OTHERS else COLOURS[place] for place, name in enumerate(categories)
    ]


def draw_experts(found: ExpertMap, experts: Sequence[str]) -> str:
    """One row per expert, one column per group; the darker, the louder."""
    loudest = max(float(found.weight_QK.max()), 1e-9)
    width = (_WIDTH - _LEFT) / len(found.groups)
    height = _HEAD + _CELL * len(experts) + 4
    parts = [_open(_WIDTH, height, f"{found.title}: weight of every expert")]
    for q, group in enumerate(found.groups):
        middle = _LEFT + width * (q + 0.5)
        parts.append(_text(middle, 14, group, "middle", title=f"{found.places_Q[q]:,} places"))
    for k, name in enumerate(experts):
        top = _HEAD + _CELL * k
        parts.append(_text(_LEFT - 10, top + 17, name.replace("_", " "), "end"))
        for q, places in enumerate(found.places_Q.tolist()):
            if not places:
                parts.append(_text(_LEFT + width * (q + 0.5), top + 17, "\u2013", "middle"))
                continue
            weight = float(found.weight_QK[q, k])
            left = _LEFT + width * q
            shade = weight / loudest
            parts.append(
                f'<rect x="{left + 1:.1f}" y="{top + 1}" width="{width - 2:.1f}" '
                f'height="{_CELL - 2}" fill="{COLOURS[0]}" fill-opacity="{shade:.3f}"/>'
            )
            inverse = ' class="inverse"' if shade > _DARK else ""
            parts.append(
                f'<text x="{left + width / 2:.1f}" y="{top + 17}" text-anchor="middle"{inverse}>'
                f"{weight:.2f}</text>"
            )
    return "".join([*parts, "</svg>"])


def draw_tail(tail: Tail) -> str:
    """Two bars per tenth of the catalogue: what was chosen in training, and what lists show."""
    longest = max(float(tail.interactions_Q.max()), float(tail.places_Q.max()), 1e-9)
    room = _WIDTH - _LEFT - 70
    groups = len(tail.places_Q)
    parts = [_open(_WIDTH, groups * (2 * _BAR + _GAP), "Share by tenth of the catalogue")]
    for q in range(groups):
        top = q * (2 * _BAR + _GAP)
        name = f"{10 * q} to {10 * (q + 1)} % of items"
        parts.append(_text(_LEFT - 10, top + _BAR + 5, name, "end"))
        shares = (tail.interactions_Q[q], COLOURS[-1]), (tail.places_Q[q], COLOURS[0])
        for row, (share, colour) in enumerate(shares):
            length = room * float(share) / longest
            y = top + row * _BAR
            parts.append(
                f'<rect x="{_LEFT}" y="{y + 1}" width="{length:.1f}" height="{_BAR - 2}" '
                f'fill="{colour}"/>'
            )
            parts.append(_text(_LEFT + length + 6, y + 12, f"{share:.1%}", "start"))
    return "".join([*parts, "</svg>"])


def draw_embeddings(found: EmbeddingMap, colour_S: Sequence[str]) -> str:
    """One point per item, in its colour."""
    points = list(_placed(found))
    parts = [_open(_SIDE, _SIDE, f"Items by {found.modality}")]
    for (x, y), colour in zip(points, colour_S, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}" fill-opacity=".6"/>')
    return "".join([*parts, "</svg>"])


def _placed(found: EmbeddingMap) -> Iterator[tuple[float, float]]:
    """Points scaled into the picture, both directions alike."""
    low_2, high_2 = found.point_S2.min(axis=0), found.point_S2.max(axis=0)
    scale = (_SIDE - 2 * _MARGIN) / max(float((high_2 - low_2).max()), 1e-9)
    middle_2 = (low_2 + high_2) / 2
    for x, y in ((found.point_S2 - middle_2) * scale + _SIDE / 2).tolist():
        yield x, _SIDE - y


def _open(width: int, height: int, label: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg {size} role="img" aria-label="{escape(label)}">'


def _text(x: float, y: float, text: str, anchor: str, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{told}{escape(text)}</text>'


_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --grey: #595959 }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #eceff4; --grey: #b0b6c0 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 920px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem }
p, figcaption { color: var(--grey) }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } svg text.inverse { fill: #fff }
.wide { overflow-x: auto } .wide svg { min-width: 640px }
figure { margin: 0; width: 280px; max-width: 100% }
.maps { display: flex; flex-wrap: wrap; gap: 1.5rem }
ul.key { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
"""


def render(manifest: ArtifactManifest, findings: Findings) -> str:
    """The page."""
    experts = [expert.name for expert in manifest.experts]
    tail = findings.tail
    colours = category_colours(findings.categories)
    colour_S = [colours[place] if colours else COLOURS[0] for place in findings.category_S]
    title = f"Portrait of {manifest.model_version}"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1><p>{manifest.num_users:,} users, {manifest.num_items:,} items; "
        f"{escape(', '.join(manifest.modalities))}. Lists are the first {LENGTH} items of "
        f"{findings.users:,} users.</p>",
        "<h2>Which experts serve whom</h2><p>Mean routing weight over the places of the lists; "
        "columns sum to 1, or are empty where no list has a place. A column that differs from its "
        "neighbours is a group for which the router decides differently.</p>",
        *(
            f"<h3>{escape(m.title)}</h3>{_wide(m.title, draw_experts(m, experts))}"
            for m in findings.maps
        ),
        "<h2>The long tail</h2>",
        f"<p>{tail.covered:.0%} of the catalogue is in at least one list; Gini coefficient of the "
        f"places {tail.gini:.2f} (0: all items equally often).</p>",
        _key((("interactions in training", COLOURS[-1]), ("places in lists", COLOURS[0]))),
        _wide("The long tail", draw_tail(tail)),
        "<h2>Where items lie</h2><p>The plane that keeps most of the variance of the items' rows, "
        "mean over the views, by modality.</p>",
        _key(tuple(zip(findings.categories, colours, strict=True))) if colours else "",
        "<div class='maps'>",
        *(
            f"<figure>{draw_embeddings(x, colour_S)}<figcaption>"
            f"{escape(x.modality)}: {x.variance:.0%} of the variance</figcaption></figure>"
            for x in findings.embeddings
        ),
        "</div></main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _wide(title: str, drawn: str) -> str:
    """A picture that scrolls where it would become too small to read."""
    return f"<div class='wide' role='group' tabindex='0' aria-label='{escape(title)}'>{drawn}</div>"


def _key(entries: tuple[tuple[str, str], ...]) -> str:
    lines = [
        f"<li><i style='background:{colour}'></i>{escape(name)}</li>" for name, colour in entries
    ]
    return f"<ul class='key'>{''.join(lines)}</ul>"
