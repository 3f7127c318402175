"""The neighbourhoods of several users, added to blocks of their similarities.

Laid out by blocks once, so that a block costs one addition however many users share it. Knows
arrays; knows nothing about routing.

Letters: B users, I items, C items of one block, E entries of all users' neighbourhoods.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from service.neighbourhood import Floats, NamedNeighbourhood, Neighbourhood


class BlockedNeighbourhoods(Protocol):
    """Neighbourhoods of B users by blocks of rows."""

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        """Add those of the rows from `start` on, which begins a block, to all users' values."""


def blocked(
    neighbourhoods: Sequence[Neighbourhood], num_items: int, step: int
) -> BlockedNeighbourhoods:
    """Those of B users by blocks of `step` rows."""
    named = [each for each in neighbourhoods if isinstance(each, NamedNeighbourhood)]
    if len(named) == len(neighbourhoods):
        return _Named(named, num_items, step)
    return _Whole([each.between(0, num_items) for each in neighbourhoods])


class _Whole:
    def __init__(self, values: Sequence[Floats]) -> None:
        self._values = values

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        stop = start + behaviour_BC.shape[1]
        for behaviour_C, value_I in zip(behaviour_BC, self._values, strict=True):
            behaviour_C += value_I[start:stop]


class _Named:
    def __init__(
        self, neighbourhoods: Sequence[NamedNeighbourhood], num_items: int, step: int
    ) -> None:
        self._step = step
        num_blocks = -(-num_items // step)
        if not any(map(len, neighbourhoods)):  # a model without any pays for none
            self._starts = np.zeros(num_blocks + 1, dtype=np.intp)
            return
        rows_E = np.concatenate([each.rows_N for each in neighbourhoods])
        values_E = np.concatenate([each.values_N for each in neighbourhoods])
        users_E = np.repeat(np.arange(len(neighbourhoods)), [len(each) for each in neighbourhoods])
        block_E, place_E = np.divmod(rows_E, step)
        if len(neighbourhoods) > 1:
            order_E = np.argsort(block_E.astype(np.int32), kind="stable")
            block_E, place_E = block_E[order_E], place_E[order_E]
            values_E, users_E = values_E[order_E], users_E[order_E]
        self._users_E, self._place_E, self._values_E = users_E, place_E, values_E
        self._starts = block_E.searchsorted(np.arange(num_blocks + 1))

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        block = start // self._step
        part = slice(self._starts[block], self._starts[block + 1])
        if part.start == part.stop:
            return
        behaviour_BC[self._users_E[part], self._place_E[part]] += self._values_E[part]
