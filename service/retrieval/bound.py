"""The most that routing can make of an item's score, from its similarities alone.

A score is bias + reach * sum of share[v, m] * similarity[v, m]. A similarity is a cosine, or with a
neighbourhood any number of either sign. The shares are those of experts times those of views: none
below zero, one in sum, and modality m never below `least_M[m]`, the least that any expert gives it.
Whatever the router does, the score is at most

    bias + reach * (sum over m of least_M[m] * x[m] + (1 - sum of least_M) * max over m of x[m])

with x[m] the larger of the views' similarities: the views' shares make a mean of these, and what
modalities' shares have above the least makes a mean of x, times its sum. No mean is above its
largest term, whatever the signs. Ours. Knows nothing about users or about ONNX.

Letters: C candidates, B users, V views, M modalities, G = V * M channels, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoreBound:
    """The bound of one model."""

    least_M: Floats
    """The least weight that any expert gives each modality."""
    reach: float
    """What a pair gets above its bias where every similarity is 1."""

    @classmethod
    def of(cls, templates_KM: Sequence[Sequence[float]], reach: float) -> "ScoreBound":
        """The bound for experts with these templates."""
        return cls(np.array(templates_KM, dtype=np.float32).min(axis=0), reach)

    def above_bias(self, similarity_GBC: Floats) -> Floats:
        """The most by which each pair's score can exceed the item's bias [B, C]."""
        num_modalities = len(self.least_M)
        best_MBC = similarity_GBC[:num_modalities].copy()
        for start in range(num_modalities, len(similarity_GBC), num_modalities):
            view_MBC = similarity_GBC[start : start + num_modalities]
            np.maximum(best_MBC, view_MBC, out=best_MBC)
        most_BC: Floats = best_MBC[0].copy()
        for best_BC in best_MBC[1:]:  # half the time of a maximum over the first axis
            np.maximum(most_BC, best_BC, out=most_BC)
        most_BC *= np.float32(self.reach) * (1 - self.least_M.sum())
        for least, x_BC in zip(self.least_M * np.float32(self.reach), best_MBC, strict=True):
            x_BC *= least
            most_BC += x_BC
        return most_BC
