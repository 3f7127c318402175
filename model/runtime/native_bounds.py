"""Upper bounds of all items' scores from 8-bit products, in one compiled pass over the items.

The same bound as in `model.runtime.quantised`, from the same rounding of items. Products become
bounds in registers. Each user's channels have steps of their own.

Letters: I items, C items of a block, B users, V views, M modalities, G = V * M channels,
D dimension, Q = D / 4, K experts, L lanes.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.runtime.derived import Arrays, Keep, unkept
from model.runtime.half import in_32_bits
from model.runtime.item_item import DenseScores, ItemItemScores
from model.runtime.native.kernels import (
    LANES,
    MOST_USERS,
    MOST_WIDTH,
    TILE_ITEMS,
    Items,
    Kernels,
    LaidOut,
    aligned,
    kernels,
)
from model.runtime.quantised import LARGEST_ITEM, MixtureBound, QuantisedBounds, turned_axes

Floats = NDArray[np.float32]

_BLOCK_ITEMS = 4_096
"""Rounded at once; whole blocks of the kernel."""
_KEPT_BYTES = 16 * 1024 * 1024
"""Most memory that a thread keeps for bounds."""
_ZERO = 64
"""What stands for 0 in an item's numbers."""


def rounded_bounds(
    items_IVMD: Floats, bias_I: Floats, templates_KM: Floats, reach: float, keep: Keep = unkept
) -> "QuantisedBounds | NativeBounds":
    """Bounds from a rounded copy of the items, by what is fastest on this machine."""
    compiled = kernels()
    if compiled is None or not compiled.can_bound() or items_IVMD.shape[-1] > MOST_WIDTH:
        return QuantisedBounds(items_IVMD, bias_I, templates_KM, reach)
    return NativeBounds(compiled, items_IVMD, bias_I, templates_KM, reach, keep=keep)


class NativeBounds:
    """The most that every item's score can be, for the items of one model version.

    Safe to share by threads.

    Args:
        compiled: the functions.
        items_IVMD: the items' rows, of any length.
        bias_I: added to their scores.
        templates_KM: every expert's weights of the modalities.
        reach: what a pair gets above its bias where every similarity is 1.
        keep: keeps the rounded copy.
    """

    def __init__(
        self,
        compiled: Kernels,
        items_IVMD: Floats,
        bias_I: Floats,
        templates_KM: Floats,
        reach: float,
        *,
        keep: Keep = unkept,
    ) -> None:
        num_items, num_views, num_modalities, width = items_IVMD.shape
        self._compiled = compiled
        self._kept = threading.local()
        mixture = MixtureBound.of(templates_KM)
        rounded = keep("rounded-1", lambda: _rounded(items_IVMD, bias_I, mixture, reach))
        self._added_I = rounded["added_I"]
        self._arrays = (
            rounded["blocks"],
            self._added_I,
            turned_axes(width),
            rounded["length_VM"],
            rounded["step_VM"],
        )
        sizes = num_items, num_views, num_modalities, width, _padded(width)
        self._items = Items(
            *(each.ctypes.data for each in self._arrays),
            *sizes,
            reach * mixture.least,
            reach * mixture.rest,
        )

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> tuple[Floats, Floats]:
        """Numbers [B, I] for some users, and by how much at most a score exceeds them [B].

        The numbers hold until the same thread asks again.
        """
        num_items = self._items.num_items
        said = [_laid_out(each, num_items) for each in item_item]
        bound_BI = self._room(len(said))
        less = [
            self._compiled.bounds(self._items, users_BVMD[part], said[part], bound_BI[part])
            for part in _parts(len(said), MOST_USERS)
        ]
        return bound_BI[:, :num_items], np.concatenate(less)

    def _room(self, num_users: int) -> Floats:
        """Memory for bounds, used again by the same thread: new memory is cleared first."""
        shape = num_users, len(self._added_I)
        size = math.prod(shape)
        if size * 4 > _KEPT_BYTES:
            return np.empty(shape, dtype=np.float32)
        room: Floats | None = getattr(self._kept, "room", None)
        if room is None or len(room) < size:
            room = self._kept.room = np.empty(size, dtype=np.float32)
        return room[:size].reshape(shape)


def _padded(width: int) -> int:
    return width + -width % 4


def _rounded(items_IVMD: Floats, bias_I: Floats, mixture: MixtureBound, reach: float) -> Arrays:
    """Items in blocks of 8-bit numbers, and what their bounds need beside them."""
    num_items, num_views, num_modalities, width = items_IVMD.shape
    axes_DD = turned_axes(width)
    largest_VM = np.zeros((num_views, num_modalities), dtype=np.float32)
    for rows in _parts(num_items):
        turned_CVMD = in_32_bits(items_IVMD[rows]) @ axes_DD
        np.maximum(largest_VM, np.abs(turned_CVMD).max(axis=(0, 3)), out=largest_VM)
    step_VM = np.where(largest_VM > 0, largest_VM / LARGEST_ITEM, 1).astype(np.float32)
    length_VM = np.zeros_like(step_VM)
    num_blocks = -(-num_items // TILE_ITEMS) * (TILE_ITEMS // LANES)
    blocks = aligned(
        (num_blocks, num_views * num_modalities, _padded(width) // 4, LANES, 4), np.uint8
    )
    added_I = np.zeros(num_blocks * LANES, dtype=np.float32)
    for rows in _parts(num_items):
        turned_CVMD = in_32_bits(items_IVMD[rows]) @ axes_DD
        rounded_CVMD = np.rint(turned_CVMD / step_VM[..., None])
        kept_CVMD = rounded_CVMD * step_VM[..., None]
        np.maximum(length_VM, np.linalg.norm(kept_CVMD, axis=-1).max(axis=0), out=length_VM)
        _lay_out(rounded_CVMD, blocks[rows.start // LANES : -(-rows.stop // LANES)])
        error_MC = np.linalg.norm(turned_CVMD - kept_CVMD, axis=-1).max(axis=1).T
        mixed_C = mixture.least * error_MC.sum(axis=0) + mixture.rest * error_MC.max(axis=0)
        added_I[rows] = bias_I[rows] + np.float32(reach) * mixed_C
    return {"blocks": blocks, "added_I": added_I, "length_VM": length_VM, "step_VM": step_VM}


def _lay_out(rounded_CVMD: Floats, blocks: NDArray[np.uint8]) -> None:
    """Put some items into their blocks."""
    num_items, *_, width = rounded_CVMD.shape
    num_blocks, channels, quads, _, _ = blocks.shape
    room = np.full((num_blocks * LANES, channels, 4 * quads), _ZERO, dtype=np.uint8)
    room[:num_items, :, :width] = rounded_CVMD.reshape(num_items, channels, width) + _ZERO
    blocks[:] = room.reshape(-1, LANES, channels, quads, 4).transpose(0, 2, 3, 1, 4)


def _laid_out(scores: ItemItemScores, num_items: int) -> LaidOut:
    if isinstance(scores, DenseScores):
        return None, np.ascontiguousarray(scores.between(0, num_items))
    return scores.rows_N, scores.values_N


def _parts(size: int, step: int = _BLOCK_ITEMS) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
