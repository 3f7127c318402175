"""LinkProp: paths of three steps from a user to an item, weighed by the degrees along them.

Letters: U users, I items, B users of a block.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm, row_normalised
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import Entry
from training.experiments.baselines.spectral import blockwise


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProp(ClosedForm):
    """R D_i^-beta R^T D_u^-gamma R D_i^-delta.

    The source has D_u^-alpha in front, which changes the order of no user's items.
    Ref: Fu et al., arXiv:2203.15789, Eq. 12.
    """

    beta: float
    """Of the user's own item."""
    gamma: float
    """Of the other user who has it."""
    delta: float
    """Of the item that this user has too, which is scored."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over paths."""
        train = dataset.train
        item_major = csr_array(train.T)
        degree_U = np.maximum(np.diff(train.indptr), 1).astype(np.float32)
        to_user_IU = row_normalised(item_major, self.beta)
        from_user_IU = csr_array(
            row_normalised(item_major, self.delta) @ diags_array(degree_U**-self.gamma)
        )

        def filtered(users: NDArray[np.int64]) -> NDArray[np.float32]:
            common_UB = (train[users] @ to_user_IU).toarray().T
            return np.asarray(from_user_IU @ common_UB)

        return blockwise(filtered)


ENTRY = Entry(
    label="LinkProp",
    grid=tuple(
        LinkProp(beta=b, gamma=g, delta=d)
        for d, g, b in product((0.3, 0.5, 0.1), (0.5, 0.8), (0.5, 0.7))
    ),
)
"""Ours: the authors search by validation too, and publish no exponents."""
