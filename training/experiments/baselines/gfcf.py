"""GF-CF: a linear graph filter with an ideal low pass.

Letters: I items, B users of a block.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import Entry
from training.experiments.baselines.spectral import IdealLowPass, ItemGraph, blockwise


@dataclass(frozen=True, slots=True, kw_only=True)
class GFCF(ClosedForm):
    """x P + alpha x D_i^-1/2 V V^T D_i^1/2, where x are the user's training items.

    Ref: Shen et al., CIKM 2021 (arXiv:2108.07567), section 4.
    """

    alpha: float
    """Weight of the ideal low pass."""
    vectors: int = 256
    """Columns of V (the authors' number)."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I]; BaselineError if V needs too much memory."""
        graph = ItemGraph.of(dataset.train)
        low_pass = IdealLowPass.of(graph, self.vectors)

        def filtered(users: NDArray[np.int64]) -> NDArray[np.float32]:
            score_IB = graph.smooth(graph.signal(users))
            score_IB += self.alpha * low_pass(users)
            return score_IB

        return blockwise(filtered)


ENTRY = Entry(label="GF-CF", grid=tuple(GFCF(alpha=alpha) for alpha in (0.3, 0.0, 1.0, 3.0)))
"""First the authors' settings: 0.3 for Gowalla and Yelp2018, 0 for Amazon-book."""
