"""What every baseline is: settings that can be fitted to a data set.

Letters: B users of a block, I items.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm
from training.evaluate.protocol import ScoreFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One fitted baseline."""

    score: ScoreFunction
    seconds_per_epoch: float | None = None
    """Validation included; None for a closed form."""
    epochs: int = 0
    """Epochs that it was trained for; 0 for a closed form."""
    curve: tuple[tuple[float, float], ...] = ()
    """After each epoch, the seconds of the processor so far and validation NDCG@20."""
    finished: bool = True
    """False if the deadline came before validation had stopped improving."""


class Trained(ABC):
    """Settings of a baseline that is trained by gradients, from random numbers."""

    @abstractmethod
    def fit(self, dataset: Dataset, seed: int, deadline: float) -> Fitted:
        """Train until validation stops improving; no epoch begins after the deadline.

        The deadline is in seconds of `time.monotonic`.

        Raises:
            BaselineError: it cannot be trained on this data set.
        """

    @abstractmethod
    def fit_epochs(self, dataset: Dataset, seed: int, epochs: int) -> Fitted:
        """Train so many epochs without validation; BaselineError as `fit`."""


Baseline = ClosedForm | Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of baseline."""

    label: str
    """Its name in reports."""
    grid: tuple[Baseline, ...]
    """Settings among which validation chooses. Where time is short the later ones are left
    untried, so the first is the one to trust on unknown data."""
    uses_content: bool = False
