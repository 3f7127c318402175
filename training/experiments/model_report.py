"""The report of a model (`model.artifact.report`) as one HTML page."""

from pathlib import Path

from model.artifact.manifest import ArtifactManifest
from model.artifact.report import ModelReport, Tail
from training.export.report import OTHERS
from training.reporting import pages
from training.reporting.charts import COLOURS

_SEEN, _SHOWN = COLOURS[-1], COLOURS[0]
_TITLES = {
    "history": "By length of the user's history in interactions, shortest first",
    "popularity": "By the item's interactions in training, in tenths of the catalogue",
    "category": "By category of the item",
}


def render(manifest: ArtifactManifest, report: ModelReport) -> str:
    """The page."""
    swatches = [
        COLOURS[-1] if name == OTHERS else COLOURS[place]
        for place, name in enumerate(report.categories)
    ]
    return pages.render(
        Path(__file__).with_name("model_report.html.j2"),
        manifest=manifest,
        report=report,
        titles=_TITLES,
        experts=_expert_rows(report),
        idle=[_spoken(each.expert) for each in report.experts if each.idle],
        tail=_tail_rows(report.tail),
        tail_key=[("interactions in training", _SEEN), ("places in lists", _SHOWN)],
        colours=[COLOURS[0] if x.category is None else swatches[x.category] for x in report.items],
        categories=list(zip(report.categories, swatches, strict=True)),
    )


def _expert_rows(report: ModelReport) -> list[list[str]]:
    """Experts, the largest share first."""
    return [
        [
            f"{_spoken(each.expert)} (idle)" if each.idle else _spoken(each.expert),
            *(f"{peak.group}: {peak.share:.2f}" for peak in each.most),
            f"{each.leads:.0%}",
            f"{each.share:.2f}",
        ]
        for each in sorted(report.experts, key=lambda each: -each.share)
    ]


def _spoken(expert: str) -> str:
    return expert.replace("_", " ")


def _tail_rows(tail: Tail) -> list[tuple[str, list[tuple[float, str, str]]]]:
    """Two bars per group: what was chosen in training, and what lists show."""
    longest = max(*tail.interactions, *tail.places, 1e-9)
    share = 100 // len(tail.places)
    return [
        (
            f"{share * q} to {share * (q + 1)} % of items",
            [(part / longest, f"{part:.1%}", colour) for part, colour in pair],
        )
        for q, pair in enumerate(
            ((chosen, _SEEN), (shown, _SHOWN))
            for chosen, shown in zip(tail.interactions, tail.places, strict=True)
        )
    ]
