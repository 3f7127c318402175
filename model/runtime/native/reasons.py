"""The items that reasons name, by the compiled functions: see `model.runtime.evidence`.

Letters: B lists, R items of a list, N of these that are shown, H items of a history, E entries of
the item-item model, I items, G channels, D dimension, X named items.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.kernels import Catalogue, Floats, Kernels, ListOfItems, Room, address
from model.runtime.top_k import Rows

NAMED = 3
"""Most items that a reason names, as in `reasons.c`."""


class TopEvidence(NamedTuple):
    """The items of histories that reasons name for the items of lists."""

    rows_BNX: Rows
    """Strongest first; -1 for none."""
    share_BNX: Floats
    first_BNG: Floats
    """What the first of them adds, by channel."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Vectors:
    """Of all items, and what decides which are named."""

    items_IGD: Floats
    foldin_IGD: Floats
    length_IG: Floats
    """Of the fold-in rows."""
    least: tuple[float, float, float, float]
    """Share, damping, similarity and variance, see `model.runtime.evidence`."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EvidenceInputs:
    """A list, and the history that its scores are made of."""

    rows_R: Rows
    history_H: NDArray[np.integer]
    share_H: Floats
    user_GD: Floats
    contribution_NG: Floats
    item_item_N: Floats
    items_E: NDArray[np.int32]
    values_E: Floats
    end_H: NDArray[np.int64]
    factor: float

    def fields(self, kept: list[NDArray[np.generic]], newest: int) -> ListOfItems:
        """As the compiled functions take it; `kept` holds on to what it points at."""
        arrays = (
            np.ascontiguousarray(self.rows_R, dtype=np.int64),
            np.ascontiguousarray(self.history_H, dtype=np.int64),
            self.share_H,
            np.ascontiguousarray(self.user_GD),
            np.ascontiguousarray(self.contribution_NG),
            self.item_item_N,
            self.items_E,
            self.values_E,
            self.end_H,
        )
        kept.extend(arrays)
        num_history = len(self.history_H)
        sizes = len(self.rows_R), len(self.item_item_N), num_history, min(newest, num_history)
        return ListOfItems(*map(address, arrays), *sizes, self.factor)


def find_top_evidence(
    compiled: Kernels, vectors: Vectors, lists: Sequence[EvidenceInputs], newest: int
) -> TopEvidence | None:
    """As `evidence.top_evidence`, for lists of one length; None if there is no such row."""
    num_items, channels, width = vectors.items_IGD.shape
    kept: list[NDArray[np.generic]] = []
    fields = (ListOfItems * len(lists))(*(each.fields(kept, newest) for each in lists))
    num_rows, num_shown = len(lists[0].rows_R), len(lists[0].item_item_N)
    most_newest = max(each.num_newest for each in fields)
    rows_BNX = np.empty((len(lists), num_shown, NAMED), dtype=np.int64)
    share_BNX = np.empty(rows_BNX.shape, dtype=np.float32)
    first_BNG = np.empty((len(lists), num_shown, channels), dtype=np.float32)
    # One piece of memory, of which the compiled functions use parts.
    sizes = ((channels + 1) * num_rows, num_rows * channels * width, *(num_rows * most_newest,) * 2)
    starts = np.cumsum([0, *sizes]).tolist()
    room = np.empty(starts[-1] + 3 * most_newest, dtype=np.float32)
    # So many that most entries, which name none of the rows, meet an empty one.
    slots = np.empty(1 << (64 * num_rows).bit_length(), dtype=np.int16)
    first = address(room)
    parts = (first + room.itemsize * start for start in starts)
    given = Room(
        *map(address, (rows_BNX, share_BNX, first_BNG)), *parts, address(slots), len(slots)
    )
    arrays = vectors.items_IGD, vectors.foldin_IGD, vectors.length_IG
    catalogue = Catalogue(*map(address, arrays), num_items, channels, width, *vectors.least)
    if compiled.find_reasons(catalogue, ctypes.addressof(fields), len(lists), given):
        return None
    return TopEvidence(rows_BNX, share_BNX, first_BNG)
