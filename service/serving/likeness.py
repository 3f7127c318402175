"""How alike items are: what a dislike is spread by.

Letters: I items, V views, M modalities, D dimension, F = V * M * D.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.runtime.grown import Grown, GrownRows
from model.runtime.half import Base, blocks, rows_of
from model.runtime.profile import Vectors

_KEPT_BYTES = 32 * 2**20
"""Of likenesses: those of thousands of items of a small catalogue, of few of a large one, where an
answer with a fresh dislike has to pass over all vectors."""

Floats = NDArray[np.float32]


class Likeness:
    """Likenesses to the items of an artifact, the latest kept; safe to share by threads."""

    def __init__(self, embeddings_IVMD: Vectors) -> None:
        self._base_IVMD = rows_of(embeddings_IVMD)
        self._shape_VMD = embeddings_IVMD.shape[1:]
        kept = max(1, _KEPT_BYTES // (4 * len(embeddings_IVMD)))
        self._of_base = lru_cache(kept)(self._to_base)

    def to(self, row: int, embeddings_IVMD: Grown) -> Floats:
        """The positive part of every item's mean cosine [I] with one, over views and modalities.

        Args:
            row: of the one.
            embeddings_IVMD: the artifact's rows, and what has been put behind them; all rows of one
                view and modality are equally long, or zero.

        Returns:
            An array that is not to be written to.
        """
        own_VMD: Vectors = embeddings_IVMD[row]
        of_base = self._of_base(own_VMD.tobytes())
        if not isinstance(embeddings_IVMD, GrownRows):
            return of_base
        return np.concatenate([of_base, _mean_cosines(own_VMD, embeddings_IVMD.added)])

    def _to_base(self, own: bytes) -> Floats:
        own_VMD = np.frombuffer(own, dtype=np.float32).reshape(self._shape_VMD)
        return _mean_cosines(own_VMD, self._base_IVMD)


def _mean_cosines(own_VMD: Vectors, others_IVMD: Base) -> Floats:
    """The positive part; rows count as long as those of `own_VMD`, so one product is enough."""
    square_VM1 = np.square(own_VMD).sum(axis=-1, keepdims=True)
    unit_VMD = np.divide(own_VMD, square_VM1, out=np.zeros_like(own_VMD), where=square_VM1 > 0)
    mean_F = (unit_VMD / np.float32(square_VM1.size)).reshape(-1)
    cosines = [each.reshape(len(each), len(mean_F)) @ mean_F for each in blocks(others_IVMD)]
    cosine_I: Floats = np.concatenate(cosines)
    return np.maximum(cosine_I, 0)
