"""A portrait as one HTML page that needs nothing from outside.

Knows findings and a manifest; knows nothing about how they came about.
"""

from html import escape

from model.contract.manifest import ArtifactManifest
from training.portrait.findings import Findings
from training.portrait.lists import LENGTH
from training.portrait.pictures import (
    COLOURS,
    category_colours,
    draw_embeddings,
    draw_experts,
    draw_tail,
)

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
