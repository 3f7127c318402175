import numpy as np
import pytest

from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, evaluate
from training.experiments.benchmark.outcome import MAGNET, Benchmark, Outcome


def outcome_of(dataset: Dataset, *noises: float, notes: tuple[str, ...] = ()) -> Outcome:
    """The truth under some noise; one run per noise."""

    def run(noise: float) -> Evaluation:
        rng = np.random.default_rng(round(noise * 1000))
        score = dataset.test.toarray() + noise * rng.standard_normal(dataset.test.shape)
        return evaluate(lambda users: score[users].astype(np.float32), dataset, dataset.test)

    return Outcome(
        settings="made up",
        tests=tuple(run(noise) for noise in noises),
        fit_seconds=1.5,
        seconds_per_epoch=0.25,
        peak_rss_mb=100.0,
        notes=notes,
    )


@pytest.fixture(scope="session")
def with_tail(communities: Dataset, make_dataset) -> Dataset:
    """The communities, with six items of one to five training positives and one of none."""
    train, valid, test = (
        x.toarray() for x in (communities.train, communities.valid, communities.test)
    )
    for item in range(6):
        train[np.flatnonzero(train[:, item])[item:], item] = 0
    train[:, 6] = 0
    return make_dataset(train, valid, test)


@pytest.fixture(scope="session")
def benchmark(with_tail: Dataset) -> Benchmark:
    """Two baselines without content, one with, MAGNET and a variant of it."""
    return Benchmark(
        dataset_name="hand-made",
        summary="as made",
        seeds=(0, 1),
        outcomes={
            "popularity": outcome_of(with_tail, 5.0),
            "rp3beta": outcome_of(with_tail, 0.30, notes=("3 of 50 settings tried",)),
            "vbpr": outcome_of(with_tail, 0.25),
            MAGNET: outcome_of(with_tail, 0.31, 0.29),
        },
        left_out={"ease": "EASE is left out: too many items"},
        ablations={"bpr": outcome_of(with_tail, 2.0, 2.5)},
        validation_users=5000,
    )
