"""Runs a cold-start trial: what is withheld, in which ways it is served, what each way reaches.

Knows ways and test positives; knows nothing about how figures are shown. Letters: U users, I items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from scipy.sparse import csr_array

from training.cold_start.outcome import ColdItems, ColdStart, ColdUsers, Way, WayOutcome, Ways
from training.cold_start.ways import (
    Ranking,
    Served,
    content_neighbours_way,
    item_ways,
    retrained,
    user_ways,
)
from training.cold_start.withheld import Mask, drawn, within
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import ScoreFunction, evaluate


class NothingToMeasureError(ValueError):
    """What is withheld has no test positive; the message says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartPlan:
    """What to run."""

    seeds: tuple[int, ...]
    config: TrainingConfig
    """MAGNET's settings; its seed is replaced."""
    share: float
    """Of the users, and of the items, with training positives; between 0 and 1."""


def run_cold_start(dataset: Dataset, plan: ColdStartPlan) -> ColdStart:
    """Per seed, train with everything, without the users, and without the items' interactions.

    One model without both would be measured on two losses at once.

    Raises:
        NothingToMeasureError: what is withheld has no test positive.
        TrainingError: a model cannot be trained.
    """
    user_U = drawn(np.diff(dataset.train.indptr), plan.share)
    item_I = drawn(np.bincount(dataset.train.indices, minlength=dataset.train.shape[1]), plan.share)
    of_users = within(dataset.test, user_U, np.ones_like(item_I))
    of_items = within(dataset.test, np.ones_like(user_U), item_I)
    _require(of_users, user_U, "users")
    if dataset.features:
        _require(of_items, item_I, "items")
    users: list[dict[Way, Served]] = []
    items: list[dict[Way, Served]] = []
    for seed in plan.seeds:
        config = plan.config.model_copy(update={"seed": seed})
        full = retrained(dataset, config)
        users.append({"retrained": full, **user_ways(dataset, user_U, config)})
        if dataset.features:
            items.append({"retrained": full, **item_ways(dataset, item_I, config)})
    return ColdStart(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=plan.seeds,
        share=plan.share,
        users=ColdUsers(withheld=int(user_U.sum()), ways=_measured(users, dataset, of_users)),
        items=_cold_items(items, dataset, item_I, of_items, plan.config) if items else None,
    )


def _require(target: csr_array, withheld: Mask, kind: str) -> None:
    if target.nnz == 0:
        raise NothingToMeasureError(f"the {withheld.sum()} withheld {kind} have no test positive")


def _cold_items(
    per_seed: Sequence[Mapping[Way, Served]],
    dataset: Dataset,
    item_I: Mask,
    target: csr_array,
    config: TrainingConfig,
) -> ColdItems:
    def among_withheld(score: ScoreFunction) -> ScoreFunction:
        return lambda user_B: np.where(item_I, score(user_B), np.float32(-np.inf))

    def with_neighbours(ranking: Ranking) -> list[dict[Way, Served]]:
        neighbours = content_neighbours_way(dataset, item_I, ranking, config.recency_power)
        return [{**by_way, "content_knn": neighbours} for by_way in per_seed]

    ways = with_neighbours(lambda score: score)
    overall = _measured(ways, dataset, dataset.test)
    present_I = np.any([x.present_I for x in dataset.features.values()], axis=0)
    return ColdItems(
        withheld=int(item_I.sum()),
        with_content=int((item_I & present_I).sum()),
        among_all=_measured(ways, dataset, target),
        among_withheld=_measured(with_neighbours(among_withheld), dataset, target, among_withheld),
        overall=overall,
        listed={
            way: mean(float(item_I[test.top_UK].mean()) for test in outcome.tests)
            for way, outcome in overall.outcomes.items()
        },
        wanted=target.nnz / dataset.test.nnz,
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
