"""An import's summary as plain text.

Knows figures and columns of text; knows nothing about where they come from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from training.intake.folder import REJECTS, UNAVAILABLE
from training.intake.summary import Catalogue, Rows, Spread, Summary

_BAR = 30
_MONTHS = 24
_ABSENT = 5
"""Most months and absent pictures that are named."""


def summary_text(summary: Summary, out: Path) -> str:
    """Lines for people; what to do next is the last of them."""
    return "\n".join(_lines(summary, out)) + "\n"


def _lines(summary: Summary, out: Path) -> Iterator[str]:
    rows = summary.interactions
    yield (
        f"{summary.name}: {summary.users:,} users, {summary.items:,} items, {rows.kept:,} "
        f"interactions ({summary.density:.2%} of all pairs)"
    )
    yield ""
    yield f"interactions from {', '.join(rows.files)}"
    yield from _fate(rows, out, "user and item")
    if summary.like_from is not None:
        yield f"{summary.likes:12,} are likes (from {summary.like_from:g} on), others count as seen"
    if summary.above_scale:
        yield (
            f"{summary.above_scale:12,} have a rating above {summary.scale_top:g}, taken for the "
            "scale's top: correct them if they are slips"
        )
    if summary.catalogue is not None:
        yield ""
        yield from _catalogue(summary.catalogue, out)
    if summary.features:
        yield f"features: {', '.join(summary.features)}"
    yield ""
    yield f"per user     {_spread(summary.per_user)}"
    yield f"per item     {_spread(summary.per_item)}"
    shares = ", ".join(f"{share:.0%} by {top} %" for top, share in summary.top_items.items())
    yield f"long tail    of all interactions, {shares} of the items"
    for title, bars in (("ratings", summary.values), ("months", _latest(summary.months))):
        if bars:
            yield ""
            yield title
            yield from _bars(bars)
    yield ""
    yield f"wrote {out} in {summary.seconds:.1f} s, {summary.peak_mb:,.0f} MB of memory at most"
    yield f"next: magnet run --data {out}    (encodes what can be, trains, publishes and serves)"


def _fate(rows: Rows, out: Path, of: str) -> Iterator[str]:
    yield f"{rows.read:12,} rows read"
    yield f"{rows.kept:12,} kept"
    if rows.merged:
        yield f"{rows.merged:12,} merged with another row of the same {of}"
    if rows.left_out:
        yield f"{rows.left_out:12,} left out: users or items with too few"
    if rows.rejected:
        yield f"{rows.rejected:12,} rejected, see {out / REJECTS}"
        for reason, found in rows.reasons.items():
            yield f"{found.rows:16,} {reason}: {'; '.join(found.examples)}"


def _catalogue(catalogue: Catalogue, out: Path) -> Iterator[str]:
    yield f"items from {', '.join(catalogue.rows.files)}"
    yield from _fate(catalogue.rows, out, "item")
    for name, count in catalogue.filled.items():
        yield f"{count:12,} have {name}"
    if catalogue.pictures:
        yield f"{catalogue.pictures:12,} have a picture"
    if catalogue.absent_pictures:
        named = ", ".join(catalogue.absent_pictures[:_ABSENT])
        yield f"{len(catalogue.absent_pictures):12,} name a picture that is not there: {named}"
    if catalogue.unavailable:
        yield f"{catalogue.unavailable:12,} are not available, see {out / UNAVAILABLE}"
    if catalogue.never_chosen:
        yield f"{catalogue.never_chosen:12,} have no interactions"
    if catalogue.unknown:
        yield f"{catalogue.unknown:12,} items of the interactions are not in this table"


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} to {spread.most:,} interactions, median {spread.median:g}"


def _latest(months: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if months is None else dict(list(months.items())[-_MONTHS:])


def _bars(counts: Mapping[str, int]) -> Iterator[str]:
    most, width = max(counts.values()), max(map(len, counts))
    for name, count in counts.items():
        yield f"  {name:>{width}s} {'█' * round(_BAR * count / most):{_BAR}s} {count:,}"
