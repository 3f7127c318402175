"""What each way of serving withheld users or items reached, as Markdown and for JSON."""

from dataclasses import dataclass
from typing import Literal

from training.evaluate.protocol import Evaluation
from training.experiments.figures import Lead, figure, paired_lead, spread
from training.reporting.documents import table

Way = Literal[
    "retrained", "reencoded", "folded_in", "content_only", "content_knn", "popularity", "random"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOutcome:
    """What one way reached."""

    settings: str
    """Empty where there is nothing to set."""
    tests: tuple[Evaluation, ...]
    """One per seed."""
    seconds: float
    """To train, or else to take in what was withheld; mean over seeds."""

    def values(self, metric: str) -> list[float]:
        """One figure per seed."""
        return [test.metrics[metric] for test in self.tests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The same test positives of the same users, served in several ways."""

    outcomes: dict[Way, WayOutcome]
    """`retrained` is among them: its model was trained with what the others were not."""

    @property
    def users(self) -> int:
        """Whose test positives are averaged over."""
        return len(self.outcomes["retrained"].tests[0].users)

    def lead(self, way: Way, other: Way, metric: str) -> Lead:
        """One way minus another, users resampled in pairs."""
        return paired_lead(self.outcomes[way].tests, self.outcomes[other].tests, metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdUsers:
    """Users who were withheld from training."""

    withheld: int
    ways: Ways


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdItems:
    """Items whose interactions were withheld from training."""

    withheld: int
    with_content: int
    """How many of them have features in at least one modality."""
    among_all: Ways
    """Every item is ranked."""
    among_withheld: Ways
    """Only the withheld items are ranked."""
    overall: Ways
    """Every item is ranked, and all test positives count: what the withheld items displace."""
    listed: dict[Way, float]
    """Share of the places in all test users' lists that withheld items take."""
    wanted: float
    """Share of all test positives that are withheld items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """Both on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    share: float
    users: ColdUsers
    items: ColdItems | None
    """None without content: only interactions tell one item from another."""


_METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
_COMPARED = ("recall@20", "ndcg@20")
_HEADER = (
    "R@10",
    "R@20",
    "N@10",
    "N@20",
    "Recall@20 minus training",
    "NDCG@20 minus training",
)
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
Content neighbours: how much of an item's content neighbourhood is in the user's history. The
size of the neighbourhood is chosen on the withheld items' own validation positives, which no other
way sees. Ties of popularity are broken at random. The first two tables count positives of withheld
items only, so a way gains in them by listing withheld items at all; the third shows the price."""


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
    parts += [
        f"What that does to the rest. Every item is ranked, all test positives of "
        f"{items.overall.users:,} users count, of which {items.wanted:.1%} are withheld items:",
        _overall_table(items),
    ]
    return "\n\n".join(parts)


def _table(ways: Ways, labels: dict[Way, str]) -> str:
    rows = [
        [label, *_figures(ways, way), f"{ways.outcomes[way].seconds:.1f}"]
        for way, label in labels.items()
    ]
    return table(["way", *_HEADER, "s"], rows)


def _overall_table(items: ColdItems) -> str:
    header = ["way", "places of the list that withheld items take", *_HEADER]
    rows = [
        [label, f"{items.listed[way]:.1%}", *_figures(items.overall, way)]
        for way, label in _ITEM_LABELS.items()
    ]
    return table(header, rows)


def _figures(ways: Ways, way: Way) -> list[str]:
    outcome = ways.outcomes[way]
    lacks = [
        "" if way == "retrained" else str(ways.lead(way, "retrained", metric))
        for metric in _COMPARED
    ]
    return [*(figure(outcome.values(metric)) for metric in _METRICS), *lacks]


def _against_neighbours(ways: Ways) -> str:
    recall, ndcg = (ways.lead("content_only", "content_knn", metric) for metric in _COMPARED)
    chosen = ways.outcomes["content_knn"].settings
    return f"Content only minus content neighbours ({chosen}): Recall@20 {recall}, NDCG@20 {ndcg}."


def as_json(result: ColdStart) -> dict[str, object]:
    """Numbers by way, under `users` and, for each ranking, under `items`."""
    items = result.items
    figures: dict[str, object] = {
        "dataset": result.dataset_name,
        "summary": result.summary,
        "seeds": list(result.seeds),
        "share": result.share,
        "users": {"withheld": result.users.withheld} | _ways_json(result.users.ways),
    }
    if items is not None:
        figures["items"] = {
            "withheld": items.withheld,
            "with_content": items.with_content,
            "among_all": _ways_json(items.among_all),
            "among_withheld": _ways_json(items.among_withheld),
            "overall": _ways_json(items.overall),
            "places_listed": items.listed,
            "positives_wanted": items.wanted,
        }
    return figures


def _ways_json(ways: Ways) -> dict[str, object]:
    return {
        "tested_users": ways.users,
        "ways": {
            way: {
                "settings": outcome.settings,
                "seconds": outcome.seconds,
                "test": {metric: spread(outcome.values(metric)) for metric in _METRICS},
                "minus_retrained": {
                    metric: ways.lead(way, "retrained", metric).as_json() for metric in _COMPARED
                },
            }
            for way, outcome in ways.outcomes.items()
        },
    }
