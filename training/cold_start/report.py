"""A cold-start trial as a section of Markdown and as plain numbers for JSON.

Knows how figures are shown; knows nothing about how they were reached.
"""

from training.benchmark.figures import lead_json, spread
from training.benchmark.markdown import figure, lead_text, table
from training.cold_start.outcome import ColdStart, Way, WayOutcome, Ways

_METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
_COMPARED = ("recall@20", "ndcg@20")
_USER_LABELS: dict[Way, str] = {
    "retrained": "trained with them",
    "reencoded": "graph encoded anew with them, no training",
    "folded_in": "folded in, no training",
    "popularity": "popularity",
    "random": "random",
}
_ITEM_LABELS: dict[Way, str] = {
    "retrained": "trained with their interactions",
    "reencoded": "graph encoded anew with their interactions, no training",
    "content_only": "**content only**",
    "content_knn": "content neighbours",
    "popularity": "popularity",
    "random": "random",
}
_PROTOCOL = """\
Protocol: {share:.0%} of the users with training positives, drawn once, lose all their training and
validation positives; one model is trained without them and one with them, and both are measured on
their test positives, each user by the same training history. Likewise for {share:.0%} of the items:
one model is trained before anyone has chosen them (it knows their features), one with their
interactions, and both are measured on the test positives of these items. Users and items are
withheld in separate trainings, since a model that lacks both would be measured on two losses at
once. All ways of a table rank the same items for the same users, training items masked. ± is the
standard deviation over seeds; intervals are 95 % of a paired bootstrap over users (each user's
value averaged over seeds), and where one holds zero it is a tie. Seconds are those of the training,
or else of what replaces it."""
_ITEM_NOTE = """\
Content neighbours: how much of an item's content neighbourhood stands in the user's history. The
size of the neighbourhood is chosen on the withheld items' own validation positives, which no other
way sees. Ties of popularity are broken at random."""


def as_markdown(result: ColdStart, command: str) -> str:
    """The data set's section; `command` is what made it."""
    parts = [
        f"## {result.dataset_name}: cold start",
        f"Data: {result.summary}.",
        f"Seeds: {', '.join(map(str, result.seeds))}. Made by:",
        f"```\n{command}\n```",
        _PROTOCOL.format(share=result.share),
        f"### {result.users.withheld:,} withheld users",
        f"Over {result.users.ways.users:,} of them, who have test positives:",
        _table(result.users.ways, _USER_LABELS),
    ]
    items = result.items
    if items is None:
        return "\n\n".join([*parts, "No items are withheld: the data hold no content."])
    parts += [
        f"### {items.withheld:,} withheld items",
        f"{items.with_content:,} of them have content.",
        _ITEM_NOTE,
    ]
    for ranked, ways in (
        ("Every item is ranked", items.among_all),
        ("Only the withheld items are ranked", items.among_withheld),
    ):
        parts += [
            f"{ranked}; over {ways.users:,} users with test positives among the withheld items:",
            _table(ways, _ITEM_LABELS),
            _against_neighbours(ways),
        ]
    return "\n\n".join(parts)


def _table(ways: Ways, labels: dict[Way, str]) -> str:
    header = [
        "way",
        "R@10",
        "R@20",
        "N@10",
        "N@20",
        "Recall@20 minus training",
        "NDCG@20 minus training",
        "s",
    ]
    rows = []
    for way, label in labels.items():
        outcome = ways.outcomes[way]
        figures = [figure(outcome.values(metric)) for metric in _METRICS]
        lacks = [_lack(ways, way, metric) for metric in _COMPARED]
        rows.append([label, *figures, *lacks, f"{outcome.seconds:.1f}"])
    return table(header, rows)


def _lack(ways: Ways, way: Way, metric: str) -> str:
    return "" if way == "retrained" else lead_text(ways.lead(way, "retrained", metric))


def _against_neighbours(ways: Ways) -> str:
    recall, ndcg = (ways.lead("content_only", "content_knn", metric) for metric in _COMPARED)
    chosen = ways.outcomes["content_knn"].settings
    return (
        f"Content only minus content neighbours ({chosen}): Recall@20 {lead_text(recall)}, "
        f"NDCG@20 {lead_text(ndcg)}."
    )


def as_json(result: ColdStart) -> dict[str, object]:
    """Numbers by way, under `users`, `items` and `items_among_withheld`."""
    figures: dict[str, object] = {
        "dataset": result.dataset_name,
        "summary": result.summary,
        "seeds": list(result.seeds),
        "share": result.share,
        "users": {"withheld": result.users.withheld} | _ways_json(result.users.ways),
    }
    if result.items is not None:
        about = {"withheld": result.items.withheld, "with_content": result.items.with_content}
        figures["items"] = about | _ways_json(result.items.among_all)
        figures["items_among_withheld"] = about | _ways_json(result.items.among_withheld)
    return figures


def _ways_json(ways: Ways) -> dict[str, object]:
    return {
        "tested_users": ways.users,
        "ways": {way: _way_json(ways, way, outcome) for way, outcome in ways.outcomes.items()},
    }


def _way_json(ways: Ways, way: Way, outcome: WayOutcome) -> dict[str, object]:
    return {
        "settings": outcome.settings,
        "seconds": outcome.seconds,
        "test": {metric: spread(outcome.values(metric)) for metric in _METRICS},
        "minus_retrained": {
            metric: lead_json(ways.lead(way, "retrained", metric)) for metric in _COMPARED
        },
    }
