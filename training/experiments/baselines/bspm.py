"""BSPM: blur a user's training items over the item graph, then sharpen what came of it.

Letters: I items, B users of a block.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import Entry
from training.experiments.baselines.spectral import IdealLowPass, ItemGraph, blockwise

_ORDER = {"euler": 1, "rk4": 4}
"""A step is the exponential's Taylor series up to this power, since the equation is linear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BSPM(ClosedForm):
    """Blurring makes x P, sharpening solves ds/dt = -s P from there up to a final time.

    Ref: Choi et al., SIGIR 2023 (arXiv:2211.09324); the ideal low pass is that of GF-CF.
    """

    solver: Literal["euler", "rk4"]
    time: float
    """Where sharpening ends."""
    steps: int = 1
    """Of equal length, over which sharpening is solved."""
    merge: Literal["early", "late"] = "early"
    """Whether the ideal low pass is added before sharpening or after it."""
    low_pass: float
    """Weight of the ideal low pass."""
    vectors: int
    """Of the ideal low pass."""
    mean: bool = False
    """Take the mean of the blurred signal and the sharpened one after each step."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I]; BaselineError if the singular vectors need too much memory."""
        graph = ItemGraph.of(dataset.train)
        low_pass = IdealLowPass.of(graph, self.vectors)

        def filtered(users: NDArray[np.int64]) -> NDArray[np.float32]:
            blurred_IB = graph.smooth(graph.signal(users))
            smoothest_IB = self.low_pass * low_pass(users)
            state_IB = blurred_IB + smoothest_IB if self.merge == "early" else blurred_IB
            points = [blurred_IB]
            for _ in range(self.steps):
                state_IB = self._sharpened(graph, state_IB)
                points.append(state_IB)
            score_IB = np.mean(points, axis=0) if self.mean else state_IB
            return score_IB if self.merge == "early" else score_IB + smoothest_IB

        return blockwise(filtered)

    def _sharpened(self, graph: ItemGraph, state_IB: NDArray[np.float32]) -> NDArray[np.float32]:
        """One step: the sum of (-h P)^n s / n! up to the solver's order, where h = time / steps."""
        term_IB, sum_IB = state_IB, state_IB.copy()
        for n in range(1, _ORDER[self.solver] + 1):
            term_IB = -self.time / (self.steps * n) * graph.smooth(term_IB)
            sum_IB += term_IB
        return sum_IB


ENTRY = Entry(
    label="BSPM",
    grid=(
        BSPM(solver="rk4", time=2.5, low_pass=0.2, vectors=448),
        BSPM(solver="euler", time=1.2, low_pass=0.3, vectors=384, mean=True),
        BSPM(solver="rk4", time=2.2, steps=2, low_pass=0.0, vectors=256, merge="late"),
        BSPM(solver="rk4", time=1.0, low_pass=0.3, vectors=256, merge="late"),
        BSPM(solver="rk4", time=1.0, low_pass=3.0, vectors=256, merge="late"),
    ),
)
"""First the authors' settings for Gowalla, Yelp2018 and Amazon-book."""
