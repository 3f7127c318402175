"""Cold start: how well users and items are served that a model was not trained with.

Neither training nor the choice of its stopping epoch sees what is withheld. Chance, popularity and
content neighbours need no MAGNET and no interaction of a withheld item. The report is a section of
Markdown, and plain numbers for JSON.

Letters: B users of a block, U users, I items, P positives.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.evaluate.protocol import Evaluation, ScoreFunction, evaluate
from training.experiments.figures import Lead, figure, opening, paired_lead, spread
from training.experiments.put_items import with_items_put
from training.experiments.withheld import (
    Mask,
    NothingToMeasureError,
    drawn,
    popularity,
    random_scores,
    train_shown,
    with_training_part,
    within,
)
from training.fit.config import TrainingConfig
from training.fit.graphs import content_neighbours
from training.fit.trained_model import TrainedModel, encode_anew
from training.reporting.documents import EvaluationProtocol, table

NEIGHBOURS = (10, 50, 200, 1000)
"""Sizes of a content neighbourhood among which validation chooses."""

Way = Literal[
    "retrained",
    "reencoded",
    "folded_in",
    "content_only",
    "put",
    "content_knn",
    "popularity",
    "random",
]
Ranking = Callable[[ScoreFunction], ScoreFunction]
"""Which items are ranked: the scores of the others become -inf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One way of serving, ready to score."""

    score: ScoreFunction
    settings: str = ""
    """Empty where there is nothing to set."""
    seconds: float = 0.0
    """Time of training, or of folding in what was withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOutcome:
    """What one way of serving reached."""

    settings: str
    tests: tuple[Evaluation, ...]
    """One per seed."""
    seconds: float
    """Mean over seeds."""

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
        """Number of users whose test positives are averaged."""
        return len(self.outcomes["retrained"].tests[0].users)

    def lead(self, way: Way, other: Way, metric: str) -> Lead:
        """One way minus another, users resampled in pairs."""
        return paired_lead(self.outcomes[way].tests, self.outcomes[other].tests, metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdItems:
    """Items whose interactions were withheld from training."""

    withheld: int
    with_content: int
    """Withheld items with features in at least one modality."""
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
    """Withheld users and withheld items of one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    share: float
    withheld_users: int
    users: Ways
    items: ColdItems | None
    """None without content: only interactions tell one item from another."""


def content_knn(
    weight_UI: csr_array, features: Iterable[ModalityFeatures], neighbours: int
) -> ScoreFunction:
    """Scores [B, I]: how much of an item's content neighbourhood is in the user's history.

    Histories [U, I] are weighted. Every item has so many `content_neighbours` in every modality;
    their weights are summed over modalities, of which there is at least one (ours).
    """
    first_II, *others = (content_neighbours(x, neighbours) for x in features)
    near_II = csr_array(sum(others, start=first_II).T)
    return lambda user_B: (weight_UI[user_B] @ near_II).toarray()


def restricted(dataset: Dataset, user_U: Mask, item_I: Mask) -> Dataset:
    """Training and validation have the positives of some users on some items only.

    The rows of the others stay, empty, and so do all features.
    """
    user_P = np.repeat(np.arange(len(user_U)), dataset.train_histories.length_U)
    kept_P = user_U[user_P] & item_I[dataset.train_histories.item_P]
    key = np.packbits(user_U).tobytes() + np.packbits(item_I).tobytes()
    return with_training_part(dataset, kept_P, within(dataset.valid, user_U, item_I), key)


def _timed(make: Callable[[], TrainedModel], settings: str = "") -> Served:
    start = time.monotonic()
    model = make()
    return Served(score=model.score, settings=settings, seconds=time.monotonic() - start)


def _references(reduced: Dataset, seed: int) -> dict[Way, Served]:
    return {
        "popularity": Served(score=popularity(reduced.train, seed)),
        "random": Served(score=random_scores(len(reduced.item_ids), seed)),
    }


def _user_ways(dataset: Dataset, reduced: Dataset, config: TrainingConfig) -> dict[Way, Served]:
    """Ways of serving users whom the model was not trained with, from their training histories."""
    model = train_shown(reduced, config, "MAGNET without the users")

    def folded_in() -> TrainedModel:
        histories = dataset.train_histories.recency_weighted(model.recency_power)
        return replace(model, train_weight_UI=histories)

    return {
        "reencoded": _timed(lambda: encode_anew(model, reduced, dataset)),
        "folded_in": _timed(folded_in),
        **_references(reduced, config.seed),
    }


def _item_ways(dataset: Dataset, reduced: Dataset, config: TrainingConfig) -> dict[Way, Served]:
    """Ways of serving items of which the model knew the features only."""
    model = train_shown(reduced, config, "MAGNET without the items' interactions")
    known_I, left_I = (
        np.bincount(each.train.indices, minlength=each.train.shape[1]) > 0
        for each in (dataset, reduced)
    )
    return {
        "reencoded": _timed(lambda: encode_anew(model, reduced, dataset)),
        "content_only": Served(score=model.score),
        "put": _timed(lambda: with_items_put(model, reduced, known_I & ~left_I)),
        **_references(reduced, config.seed),
    }


def _content_neighbours(
    dataset: Dataset, reduced: Dataset, valid: csr_array, ranking: Ranking, recency_power: float
) -> Served:
    """Content neighbours, their number chosen on the withheld items' validation positives.

    This favours them: no other way sees these positives.
    """
    weight_UI = reduced.train_histories.recency_weighted(recency_power)

    def served(neighbours: int) -> Served:
        start = time.monotonic()
        score = content_knn(weight_UI, dataset.features.values(), neighbours)
        settings = f"{neighbours} neighbours by each modality"
        return Served(score=score, settings=settings, seconds=time.monotonic() - start)

    def ndcg(candidate: Served) -> float:
        found = evaluate(ranking(candidate.score), dataset, valid, ks=(20,))
        return found.metrics.get("ndcg@20", 0.0)

    return max(map(served, NEIGHBOURS), key=ndcg)


def run_cold_start(
    dataset: Dataset, config: TrainingConfig, seeds: Sequence[int], share: float
) -> ColdStart:
    """Per seed, train with everything, without the users, and without the items' interactions.

    One model without both would be measured on two losses at once. The config's seed is replaced.
    The share, between 0 and 1, is of the users, and of the items, with training positives.

    Raises:
        NothingToMeasureError: what is withheld has no test positive.
        TrainingError: a model cannot be trained.
    """
    user_U = drawn(np.diff(dataset.train.indptr), share)
    item_I = drawn(np.bincount(dataset.train.indices, minlength=dataset.train.shape[1]), share)
    every_U, every_I = np.ones_like(user_U), np.ones_like(item_I)
    of_users = within(dataset.test, user_U, every_I)
    of_items = within(dataset.test, every_U, item_I)
    for target, withheld, kind in ((of_users, user_U, "users"), (of_items, item_I, "items")):
        if target.nnz == 0 and (dataset.features or kind == "users"):
            raise NothingToMeasureError(
                f"the {withheld.sum()} withheld {kind} have no test positive"
            )
    without_users = restricted(dataset, ~user_U, every_I)
    without_items = restricted(dataset, every_U, ~item_I)
    users: list[dict[Way, Served]] = []
    items: list[dict[Way, Served]] = []
    for seed in seeds:
        seeded = config.model_copy(update={"seed": seed})
        full = _timed(partial(train_shown, dataset, seeded, "MAGNET with everything"), repr(seeded))
        users.append({"retrained": full, **_user_ways(dataset, without_users, seeded)})
        if dataset.features:
            items.append({"retrained": full, **_item_ways(dataset, without_items, seeded)})

    def among_withheld(score: ScoreFunction) -> ScoreFunction:
        return lambda user_B: np.where(item_I, score(user_B), np.float32(-np.inf))

    def with_neighbours(ranking: Ranking) -> list[dict[Way, Served]]:
        valid = within(dataset.valid, every_U, item_I)
        neighbours = _content_neighbours(
            dataset, without_items, valid, ranking, config.recency_power
        )
        return [{**by_way, "content_knn": neighbours} for by_way in items]

    cold_items = None
    if dataset.features:
        ways = with_neighbours(lambda score: score)
        overall = _measured(ways, dataset, dataset.test)
        present_I = np.any([x.present_I for x in dataset.features.values()], axis=0)
        cold_items = ColdItems(
            withheld=int(item_I.sum()),
            with_content=int((item_I & present_I).sum()),
            among_all=_measured(ways, dataset, of_items),
            among_withheld=_measured(
                with_neighbours(among_withheld), dataset, of_items, among_withheld
            ),
            overall=overall,
            listed={
                way: mean(float(item_I[test.top_UK].mean()) for test in outcome.tests)
                for way, outcome in overall.outcomes.items()
            },
            wanted=of_items.nnz / dataset.test.nnz,
        )
    return ColdStart(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=tuple(seeds),
        share=share,
        withheld_users=int(user_U.sum()),
        users=_measured(users, dataset, of_users),
        items=cold_items,
    )


def _measured(
    per_seed: Sequence[Mapping[Way, Served]],
    dataset: Dataset,
    target: csr_array,
    ranking: Ranking = lambda score: score,
) -> Ways:
    """Every way on some test positives, by each seed."""
    by_way = {way: [ways[way] for ways in per_seed] for way in per_seed[0]}
    return Ways(
        outcomes={
            way: WayOutcome(
                settings=runs[0].settings,
                tests=tuple(evaluate(ranking(run.score), dataset, target) for run in runs),
                seconds=mean(run.seconds for run in runs),
            )
            for way, runs in by_way.items()
        }
    )


_METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
_COMPARED = ("recall@20", "ndcg@20")
_HEADER = ("R@10", "R@20", "N@10", "N@20", "Recall@20 minus training", "NDCG@20 minus training")
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
    "put": "put while a model is served that does not have them",
    "content_knn": "content neighbours",
    "popularity": "popularity",
    "random": "random",
}
PROTOCOL = EvaluationProtocol(
    "cold-start",
    """\
Cold start: a share of the users with training positives, drawn once, lose all their training and
validation positives; one model is trained without them and one with them, and both are measured on
their test positives, each user by the same training history. Likewise for the same share of the
items: one model is trained before anyone has chosen them (it knows their features), one with their
interactions, and both are measured on the test positives of these items. Users and items are
withheld in separate trainings, since a model that lacks both would be measured on two losses at
once. All ways of a table rank the same items for the same users, training items masked. ± is the
standard deviation over seeds; intervals are 95 % of a paired bootstrap over users (each user's
value averaged over seeds), and where one holds zero it is a tie. Seconds are those of the training,
or else of what replaces it.

*Content only* is the model of that training, as it is. *Put*: its artifact's item encoder, as the
service uses it, makes the items of their features. They are not among the artifact's items, so that
none is a content neighbour of another. *Content neighbours*: how much of an item's content
neighbourhood is in the user's history. The size of the neighbourhood is chosen on the withheld
items' own validation positives, which no other way sees. Ties of popularity are broken at random.
The first two tables count positives of withheld items only, so a way gains in them by listing
withheld items at all; the third shows the price.""",
)


def as_markdown(result: ColdStart, command: str) -> str:
    """The data set's section; `command` is what made it."""
    title = f"{result.dataset_name}: cold start"
    parts = [
        *opening(title, result.summary, result.seeds, command),
        f"### {result.withheld_users:,} withheld users ({result.share:.0%})",
        f"Over {result.users.users:,} of them, who have test positives:",
        _table(result.users, _USER_LABELS),
    ]
    items = result.items
    if items is None:
        return "\n\n".join([*parts, "No items are withheld: the data hold no content."])
    parts += [
        f"### {items.withheld:,} withheld items ({result.share:.0%})",
        f"{items.with_content:,} of them have content.",
    ]
    for ranked, ways in (
        ("Every item is ranked", items.among_all),
        ("Only the withheld items are ranked", items.among_withheld),
    ):
        parts += [
            f"{ranked}; over {ways.users:,} users with test positives among the withheld items:",
            _table(ways, _ITEM_LABELS),
            _compared_with_content_only(ways),
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


def _compared_with_content_only(ways: Ways) -> str:
    recall, ndcg = (ways.lead("content_only", "content_knn", metric) for metric in _COMPARED)
    chosen = ways.outcomes["content_knn"].settings
    put_recall, put_ndcg = (ways.lead("put", "content_only", metric) for metric in _COMPARED)
    return (
        f"Content only minus content neighbours ({chosen}): Recall@20 {recall}, NDCG@20 {ndcg}.\n"
        f"Put minus content only: Recall@20 {put_recall}, NDCG@20 {put_ndcg}."
    )


def as_json(result: ColdStart) -> dict[str, object]:
    """Numbers by way, under `users` and, for each ranking, under `items`."""
    items = result.items
    figures: dict[str, object] = {
        "dataset": result.dataset_name,
        "summary": result.summary,
        "seeds": list(result.seeds),
        "share": result.share,
        "users": {"withheld": result.withheld_users} | _ways_json(result.users),
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
