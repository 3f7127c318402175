"""An import's summary as one HTML page that needs nothing from outside.

Knows figures; knows nothing about where they come from.
"""

from collections.abc import Iterable, Mapping
from html import escape

from training.intake.summary import Rows, Spread, Summary

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 sans-serif; max-width: 800px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
td { padding: .2rem .9rem .2rem 0; vertical-align: middle }
td.n { text-align: right; font-variant-numeric: tabular-nums }
td.bar { width: 320px } td.bar div { background: #0072b2; height: 1em }
"""


def summary_page(summary: Summary) -> str:
    """The page."""
    title = escape(summary.name)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Import of {title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Import of {title}</h1>",
        _table("The data", _facts(summary)),
        _fate("Interactions", summary.interactions),
        _bars("Ratings", summary.values),
        _bars("Months", summary.months),
    ]
    if summary.catalogue is not None:
        catalogue = summary.catalogue
        parts.append(_fate("Items", catalogue.rows))
        filled = {f"with {name}": count for name, count in catalogue.filled.items()}
        filled |= {
            "with a picture": catalogue.pictures,
            "that name a picture that is not there": len(catalogue.absent_pictures),
            "that are not available": catalogue.unavailable,
            "without interactions": catalogue.never_chosen,
            "of interactions but not in the table": catalogue.unknown,
        }
        parts.append(_table("What is known about items", filled.items()))
    return "\n".join([*parts, "</body></html>", ""])


def _facts(summary: Summary) -> list[tuple[str, object]]:
    return [
        ("users", summary.users),
        ("items with interactions", summary.items),
        ("interactions", summary.interactions.kept),
        ("likes", summary.likes),
        *([("ratings above the scale's top", summary.above_scale)] if summary.above_scale else []),
        ("share of all pairs", f"{summary.density:.3%}"),
        ("per user", _spread(summary.per_user)),
        ("per item", _spread(summary.per_item)),
        *(
            (f"share of the most chosen {top} % of items", f"{share:.1%}")
            for top, share in summary.top_items.items()
        ),
        ("features", ", ".join(summary.features) or "none"),
        ("seconds", f"{summary.seconds:.1f}"),
        ("memory at most", f"{summary.peak_mb:,.0f} MB"),
    ]


def _fate(title: str, rows: Rows) -> str:
    reasons = [
        (f"rejected: {reason}", f"{found.rows:,} ({'; '.join(found.examples)})")
        for reason, found in rows.reasons.items()
    ]
    facts = [
        ("files", ", ".join(rows.files)),
        ("rows read", rows.read),
        ("kept", rows.kept),
        ("merged", rows.merged),
        ("left out, as users or items have too few", rows.left_out),
        ("rejected", rows.rejected),
        *reasons,
    ]
    return _table(title, facts)


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} to {spread.most:,}, median {spread.median:g}"


def _table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    cells = []
    for name, value in rows:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        cells.append(f"<tr><td>{escape(name)}</td><td>{escape(shown)}</td></tr>")
    return f"<h2>{title}</h2><table>{''.join(cells)}</table>"


def _bars(title: str, counts: Mapping[str, int] | None) -> str:
    if not counts:
        return ""
    most = max(counts.values())
    rows = [
        f"<tr><td>{escape(name)}</td><td class=bar><div style='width:{count / most:.1%}'></div>"
        f"</td><td class=n>{count:,}</td></tr>"
        for name, count in counts.items()
    ]
    return f"<h2>{title}</h2><table>{''.join(rows)}</table>"
