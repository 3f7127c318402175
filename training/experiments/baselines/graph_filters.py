"""Graph filters: GF-CF, BSPM, ChebyCF and LinkProp.

A graph filter takes a user's training items for a signal on the graph of items with common users,
and scores items by the signal's smooth part.

Letters: U users, I items, B users of a block, D singular vectors, K coefficients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import svds

from training.data.dataset import Dataset
from training.evaluate.closed_forms import MAX_MEMORY, BaselineError, ClosedForm, row_normalised
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import Entry
from training.experiments.baselines.factors import symmetrically_normalised

_BLOCK = 64
"""Users filtered at once: fast because their signals stay in the processor's cache."""
_BYTES_PER_ENTRY = 3 * 4
"""Three float32 copies of the vectors, or of the matrix, are there while they are computed."""
_SMALLEST = 1e-3
"""A singular value below it (the largest is 1) may be a zero with rounding errors."""


@dataclass(frozen=True, slots=True)
class ItemGraph:
    """Items joined by common users: P = R'^T R', where R' = D_u^-1/2 R D_i^-1/2.

    P's eigenvalues lie between 0 and 1, and the eigenvectors near 1 vary least along edges. P
    itself is never made: [I, I] is too large.
    """

    train: csr_array
    """R [U, I]."""
    normalised_UI: csr_array
    """R'."""
    normalised_IU: csr_array

    @classmethod
    def of(cls, train: csr_array) -> "ItemGraph":
        """The graph of training positives [U, I]."""
        normalised_UI = symmetrically_normalised(train)
        return cls(train, normalised_UI, csr_array(normalised_UI.T))

    def signal(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Training items as ones [I, B]."""
        return np.ascontiguousarray(self.train[users].toarray().T)

    def smooth(self, signal_IB: NDArray[np.float32]) -> NDArray[np.float32]:
        """P times a signal [I, B]."""
        return np.asarray(self.normalised_IU @ (self.normalised_UI @ signal_IB))

    def degree_power(self, exponent: float) -> NDArray[np.float32]:
        """Items' training positives raised to `exponent` [I, 1], zero where there are none."""
        degree_I1 = np.bincount(self.train.indices, minlength=self.train.shape[1])[:, None]
        power_I1 = np.maximum(degree_I1, 1).astype(np.float32) ** np.float32(exponent)
        return np.where(degree_I1 > 0, power_I1, np.float32(0))

    def singular_vectors(self, most: int) -> NDArray[np.float32]:
        """Right singular vectors V [I, D] of R' with the largest values, at most so many.

        Raises:
            BaselineError: they need too much memory.
        """
        num_users, num_items = self.train.shape
        few = 2 * most < min(num_users, num_items)
        entries = (num_users + num_items) * most if few else num_users * num_items
        if entries * _BYTES_PER_ENTRY > MAX_MEMORY:
            raise BaselineError(
                f"graph filters are left out: {most} singular vectors of {num_users:,} users and "
                f"{num_items:,} items need {entries * _BYTES_PER_ENTRY / 2**30:,.0f} GiB "
                f"(limit: {MAX_MEMORY / 2**30:.0f} GiB)"
            )
        if few:
            _, value_D, right_DI = svds(self.normalised_UI, k=most, rng=np.random.default_rng(0))
        else:
            _, value_D, right_DI = np.linalg.svd(self.normalised_UI.toarray(), full_matrices=False)
            value_D, right_DI = value_D[:most], right_DI[:most]
        return np.ascontiguousarray(right_DI[value_D > _SMALLEST].T)


@dataclass(frozen=True, slots=True)
class IdealLowPass:
    """D_i^beta V V^T D_i^-beta: a signal's smoothest part, as vectors of users and items."""

    user_UD: NDArray[np.float32]
    item_ID: NDArray[np.float32]

    @classmethod
    def of(cls, graph: ItemGraph, vectors: int, beta: float = 0.5) -> "IdealLowPass":
        """Of at most so many directions; BaselineError if they need too much memory."""
        vector_ID = graph.singular_vectors(vectors)
        return cls(
            np.asarray(graph.train @ (graph.degree_power(-beta) * vector_ID)),
            graph.degree_power(beta) * vector_ID,
        )

    def __call__(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """The smoothest part of the users' training items [I, B]."""
        return np.asarray(self.item_ID @ self.user_UD[users].T)


def blockwise(
    filtered: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> ScoreFunction:
    """Scores [B, I] of any number of users, by a function that gives those of few [I, B]."""

    def score(users: NDArray[np.int64]) -> NDArray[np.float32]:
        blocks = (users[start : start + _BLOCK] for start in range(0, len(users), _BLOCK))
        return np.concatenate([np.ascontiguousarray(filtered(block).T) for block in blocks])

    return score


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


GFCF_ENTRY = Entry(label="GF-CF", grid=tuple(GFCF(alpha=alpha) for alpha in (0.3, 0.0, 1.0, 3.0)))
"""First the authors' settings: 0.3 for Gowalla and Yelp2018, 0 for Amazon-book."""


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
    """Number of equal steps in which the solver sharpens."""
    merge: Literal["early", "late"] = "early"
    """Whether the ideal low pass is added before sharpening or after it."""
    low_pass: float
    """Weight of the ideal low pass."""
    vectors: int
    """Number of singular vectors of the ideal low pass."""
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


BSPM_ENTRY = Entry(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChebyCF(ClosedForm):
    """D_i^beta (sum_k c_k T_k(L) + alpha V V^T) D_i^-beta x, where L = I - 2 P.

    x are the user's training items, T_k the Chebyshev polynomials, and the c_k interpolate the
    plateau at the Chebyshev nodes. Ref: Kim et al., SIGIR 2025 (arXiv:2505.00552). The authors'
    code takes the plateau at other nodes, and so finds 0.3 % more on Gowalla.
    """

    phi: float
    """The plateau's flatness."""
    alpha: float
    """Weight of the ideal low pass."""
    beta: float
    """Exponent of the degrees; 0 for none."""
    vectors: int = 512
    """Columns of V (eta)."""
    order: int = 8
    """Largest k."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I]; BaselineError if V needs too much memory."""
        graph = ItemGraph.of(dataset.train)
        low_pass = IdealLowPass.of(graph, self.vectors, self.beta)
        before_I1, after_I1 = graph.degree_power(-self.beta), graph.degree_power(self.beta)
        coefficients = Chebyshev.interpolate(self.plateau, self.order).coef.tolist()

        def laplacian(signal_IB: NDArray[np.float32]) -> NDArray[np.float32]:
            return signal_IB - 2 * graph.smooth(signal_IB)

        def filtered(users: NDArray[np.int64]) -> NDArray[np.float32]:
            filtered_IB = _chebyshev(laplacian, coefficients, before_I1 * graph.signal(users))
            return after_I1 * filtered_IB + self.alpha * low_pass(users)

        return blockwise(filtered)

    def plateau(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """The wanted response at eigenvalues of L: 1 at -1 (smoothest), 0 at 1, flat around 0."""
        return (1 - np.sign(frequency) * np.abs(frequency) ** self.phi) / 2


def _chebyshev(
    operator: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    coefficients: list[float],
    signal_IB: NDArray[np.float32],
) -> NDArray[np.float32]:
    """sum_k c_k T_k(operator) times the signal, by T_k+1(x) = 2 x T_k(x) - T_k-1(x)."""
    before_IB, now_IB = signal_IB, operator(signal_IB)
    sum_IB = coefficients[0] * before_IB + coefficients[1] * now_IB
    for coefficient in coefficients[2:]:
        before_IB, now_IB = now_IB, 2 * operator(now_IB) - before_IB
        sum_IB += coefficient * now_IB
    return sum_IB


CHEBYCF_ENTRY = Entry(
    label="ChebyCF",
    grid=(
        ChebyCF(phi=1.5, alpha=0.2, beta=0.4),
        ChebyCF(phi=10.0, alpha=0.2, beta=0.0),
        ChebyCF(phi=15.0, alpha=0.1, beta=0.2, vectors=256),
        ChebyCF(phi=1.5, alpha=0.2, beta=0.2, vectors=256),
        ChebyCF(phi=1.5, alpha=1.0, beta=0.4, vectors=256),
    ),
)
"""First the authors' settings for Gowalla, Amazon-book and LastFM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProp(ClosedForm):
    """R D_i^-beta R^T D_u^-gamma R D_i^-delta.

    The source has D_u^-alpha in front, which changes the order of no user's items.
    Ref: Fu et al., arXiv:2203.15789, Eq. 12.
    """

    beta: float
    """Exponent of the degree of the user's own item."""
    gamma: float
    """Exponent of the degree of the other user who has it."""
    delta: float
    """Exponent of the degree of the item that is scored, which the other user has too."""

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


LINKPROP_ENTRY = Entry(
    label="LinkProp",
    grid=tuple(
        LinkProp(beta=b, gamma=g, delta=d)
        for d, g, b in product((0.3, 0.5, 0.1), (0.5, 0.8), (0.5, 0.7))
    ),
)
"""Ours: the authors search by validation too, and publish no exponents."""
