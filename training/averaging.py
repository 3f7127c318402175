"""The moving average of weights that is validated and served.

Knows tensors and how many steps there were; knows nothing about models.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def warmed_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Moving average over about the last quarter of all steps, at most over 1 / (1 - decay).

    Polynomial-decay averaging (arXiv:1212.1824, eta = 2), which forgets the start.
    """

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        warmed = min(decay, (1 + int(steps)) / (4 + int(steps)))
        return torch.lerp(current, averaged, warmed)

    return average
