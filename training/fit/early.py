"""Models that are handed over while training goes on, each better than the one before (ours).

Before its first epoch a model is one already: behaviour embeddings start at the leading directions
of the interactions, the item-item model is a closed form, and the weights of the score are chosen
on validation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from scipy.sparse import csr_array

from model.artifact.manifest import EpochRecord
from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, ScoreFunction, evaluate, popularity_scores
from training.fit.trained_model import TrainedModel

GAIN = 0.01
"""A later model is handed over if its NDCG@20 is better by more than this share: its noise."""
PAUSE_PER_COST = 9.0
"""Training goes on for so many times what a hand-over took, and at least for as long as before it.
So hand-overs take a tenth of the time, and less with time."""
_COMPARED = "ndcg@20"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyModel:
    """The best model so far of a training that goes on."""

    model: TrainedModel
    valid: Evaluation
    """On validation, as calibrated; an `EpochRecord` says what embeddings reach alone."""
    popular: Evaluation
    """What the most popular items reach there."""
    seconds: float
    """Since training began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how a training goes."""

    on_epoch: Callable[[EpochRecord], None] = lambda _: None
    """Called after each epoch."""
    on_better: Callable[[EarlyModel], None] | None = None
    """Called with the best model so far, first before the first epoch, if it is better than
    popularity; then rarely, see `HandOvers`. None: nobody wants early models."""
    on_fusion: Callable[[], None] = lambda: None
    """Called when the epochs are over and what training cannot know is chosen on validation."""


NOBODY = Watch()


class HandOvers:
    """Decides when the best model so far is handed over, and does it."""

    def __init__(
        self, take: Callable[[EarlyModel], None], dataset: Dataset, valid: csr_array
    ) -> None:
        """Measure popularity: what is not better is not handed over.

        Args:
            take: who gets the models.
            dataset: what is trained on.
            valid: the validation positives [U, I] that models are compared on.
        """
        self._take, self._dataset, self._valid = take, dataset, valid
        self._began = self._due = time.monotonic()
        self._epoch: int | None = None
        self._popular = self._measure(popularity_scores(dataset.train))
        self._to_beat = self._popular.metrics[_COMPARED]

    def offer(self, epoch: int, calibrated_model: Callable[[], TrainedModel]) -> None:
        """Hand the best model so far over, if it is time and it is better.

        Args:
            epoch: the one that it is from, 0 before the first.
            calibrated_model: makes it; not called unless it may be handed over.
        """
        started = time.monotonic()
        if started < self._due or epoch == self._epoch:
            return
        self._epoch = epoch
        model = calibrated_model()
        valid = self._measure(model.score)
        if valid.metrics[_COMPARED] > self._to_beat:
            self._to_beat = (1 + GAIN) * valid.metrics[_COMPARED]
            seconds = time.monotonic() - self._began
            self._take(EarlyModel(model=model, valid=valid, popular=self._popular, seconds=seconds))
        now = time.monotonic()
        self._due = now + max(now - self._began, PAUSE_PER_COST * (now - started))

    def _measure(self, score: ScoreFunction) -> Evaluation:
        return evaluate(score, self._dataset, self._valid)
