"""Runs a cold-start trial: withholds users and items from training and serves them in several ways.

Training never sees what is withheld, nor does the choice of its stopping epoch. Random, popularity
and content neighbours need no MAGNET and no interaction of a withheld item.

Letters: B users of a block, U users, I items, P positives.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.cli.progress import epochs_shown
from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.data.histories import Histories
from training.evaluate.protocol import ScoreFunction, evaluate, popularity_scores
from training.experiments.cold_start.report import (
    ColdItems,
    ColdStart,
    ColdUsers,
    Way,
    WayOutcome,
    Ways,
)
from training.fit.config import TrainingConfig
from training.fit.graphs import content_neighbours
from training.fit.inductive import InductiveEncoder
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train

log = logging.getLogger(__name__)

NEIGHBOURS = (10, 50, 200, 1000)
"""Sizes of a content neighbourhood among which validation chooses."""


Mask = NDArray[np.bool_]
Ranking = Callable[[ScoreFunction], ScoreFunction]
"""Which items are ranked: the scores of the others become -inf."""


def random_scores(num_items: int, seed: int) -> ScoreFunction:
    """Scores [B, I] without meaning."""
    rng = np.random.default_rng(seed)
    return lambda user_B: rng.random((len(user_B), num_items), dtype=np.float32)


def popularity(train: csr_array, seed: int) -> ScoreFunction:
    """Scores [B, I] by training positives; ties are broken at random, so that ids tell nothing."""
    count, tie = popularity_scores(train), random_scores(train.shape[1], seed)
    return lambda user_B: count(user_B) + tie(user_B)


def content_knn(
    weight_UI: csr_array, features: Iterable[ModalityFeatures], neighbours: int
) -> ScoreFunction:
    """Scores [B, I]: how much of an item's content neighbourhood is in the user's history.

    The neighbourhood is the one of `content_neighbours`, summed over modalities (ours).

    Args:
        weight_UI: weighted histories.
        features: one set per modality, at least one.
        neighbours: of every item in every modality.
    """
    first_II, *others = (content_neighbours(x, neighbours) for x in features)
    near_II = csr_array(sum(others, start=first_II).T)
    return lambda user_B: (weight_UI[user_B] @ near_II).toarray()


def drawn(count_X: NDArray[np.int64], share: float) -> Mask:
    """A random share, by a fixed seed, of the users or items with training positives.

    Args:
        count_X: training positives of every user or item.
        share: between 0 and 1; at least one is drawn.
    """
    known = np.flatnonzero(count_X)
    number = max(1, round(share * len(known)))
    drawn_X = np.zeros(len(count_X), dtype=np.bool_)
    drawn_X[np.random.default_rng(0).choice(known, number, replace=False)] = True
    return drawn_X


def without_users(dataset: Dataset, user_U: Mask) -> Dataset:
    """The data set as training sees it without some users; rows stay, empty."""
    return _restricted(dataset, ~user_U, np.ones(len(dataset.item_ids), dtype=np.bool_))


def without_items(dataset: Dataset, item_I: Mask) -> Dataset:
    """The data set as training sees it without some items' interactions; features stay."""
    return _restricted(dataset, np.ones(len(dataset.user_ids), dtype=np.bool_), ~item_I)


def within(matrix: csr_array, user_U: Mask, item_I: Mask) -> csr_array:
    """The entries of a matrix [U, I] in some rows and columns; the others are empty."""
    kept = diags_array(user_U.astype("f4")) @ matrix @ diags_array(item_I.astype("f4"))
    kept = csr_array(kept)
    kept.eliminate_zeros()
    return kept


def _restricted(dataset: Dataset, user_U: Mask, item_I: Mask) -> Dataset:
    """Training and validation positives of some users and items only."""
    digest = hashlib.sha256(dataset.sha256.encode())
    digest.update(np.packbits(user_U).tobytes() + np.packbits(item_I).tobytes())
    return replace(
        dataset,
        train=within(dataset.train, user_U, item_I),
        valid=within(dataset.valid, user_U, item_I),
        train_histories=_kept(dataset.train_histories, user_U, item_I),
        sha256=digest.hexdigest(),
    )


def _kept(histories: Histories, user_U: Mask, item_I: Mask) -> Histories:
    """The positives of some users on some items, in their order."""
    user_P = np.repeat(np.arange(len(user_U)), histories.length_U)
    kept_P = user_U[user_P] & item_I[histories.item_P]
    length_U = np.bincount(user_P[kept_P], minlength=len(user_U))
    return Histories(
        offset_U1=np.concatenate([[0], np.cumsum(length_U)]),
        item_P=histories.item_P[kept_P],
        num_items=histories.num_items,
        ordered=histories.ordered,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One way of serving, ready to score, and what it took."""

    score: ScoreFunction
    settings: str = ""
    seconds: float = 0.0


def retrained(dataset: Dataset, config: TrainingConfig) -> Served:
    """Trained with everything."""
    start = time.monotonic()
    model = _trained(dataset, config, "with everything")
    return Served(score=model.score, settings=repr(config), seconds=time.monotonic() - start)


def user_ways(dataset: Dataset, user_U: Mask, config: TrainingConfig) -> dict[Way, Served]:
    """Ways of serving users whom the model was not trained with, from their training histories."""
    reduced = without_users(dataset, user_U)
    model = _trained(reduced, config, "without the users")

    def folded_in() -> TrainedModel:
        histories = dataset.train_histories.recency_weighted(model.recency_power)
        return replace(model, train_weight_UI=histories)

    return {
        "reencoded": _taken_in(lambda: InductiveEncoder.of(model, reduced).encode(dataset)),
        "folded_in": _taken_in(folded_in),
        **_references(reduced, config.seed),
    }


def item_ways(dataset: Dataset, item_I: Mask, config: TrainingConfig) -> dict[Way, Served]:
    """Ways of serving items of which the model knew the features only."""
    reduced = without_items(dataset, item_I)
    model = _trained(reduced, config, "without the items' interactions")
    return {
        "reencoded": _taken_in(lambda: InductiveEncoder.of(model, reduced).encode(dataset)),
        "content_only": Served(score=model.score),
        **_references(reduced, config.seed),
    }


def content_neighbours_way(
    dataset: Dataset, item_I: Mask, ranking: Ranking, recency_power: float
) -> Served:
    """Content neighbours, their number chosen on the withheld items' validation positives.

    This favours them: no other way sees these positives.
    """
    reduced = without_items(dataset, item_I)
    every_U = np.ones(len(dataset.user_ids), dtype=np.bool_)
    target = within(dataset.valid, every_U, item_I)
    weight_UI = reduced.train_histories.recency_weighted(recency_power)

    def served(neighbours: int) -> Served:
        start = time.monotonic()
        score = content_knn(weight_UI, dataset.features.values(), neighbours)
        settings = f"{neighbours} neighbours by each modality"
        return Served(score=score, settings=settings, seconds=time.monotonic() - start)

    def ndcg(candidate: Served) -> float:
        found = evaluate(ranking(candidate.score), dataset, target, ks=(20,))
        return found.metrics.get("ndcg@20", 0.0)

    return max(map(served, NEIGHBOURS), key=ndcg)


def _trained(dataset: Dataset, config: TrainingConfig, what: str) -> TrainedModel:
    log.info(f"MAGNET {what}, seed {config.seed}:")
    with epochs_shown(config) as on_epoch:
        return train(dataset, config, on_epoch=on_epoch)


def _taken_in(take_in: Callable[[], TrainedModel]) -> Served:
    """A trained model, extended without training."""
    start = time.monotonic()
    model = take_in()
    return Served(score=model.score, seconds=time.monotonic() - start)


def _references(reduced: Dataset, seed: int) -> dict[Way, Served]:
    return {
        "popularity": Served(score=popularity(reduced.train, seed)),
        "random": Served(score=random_scores(len(reduced.item_ids), seed)),
    }


class NothingToMeasureError(ValueError):
    """Withheld users or items have no test positive; the message says which."""


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
