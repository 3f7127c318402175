import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.query import diversified

TWINS = np.array([[1, 0], [1, 0.01], [0, 1], [0, 0]], dtype=np.float32)
SCORES = np.array([4.0, 3.9, 2.0, 0.0], dtype=np.float32)


@pytest.mark.parametrize(
    ("diversity", "order"),
    [(0.0, [0, 1, 2, 3]), (0.5, [0, 2, 3, 1]), (0.3, [0, 1, 2, 3]), (0.4, [0, 2, 1, 3])],
)
def test_a_twin_waits_the_longer_the_more_diversity_is_asked_for(
    diversity: float, order: list[int]
) -> None:
    assert diversified(SCORES, TWINS, diversity, 4).tolist() == order


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.floats(0, 1), st.integers(1, 15))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(
    seed: int, pool: int, diversity: float, wanted: int
) -> None:
    rng = np.random.default_rng(seed)
    score_P = np.sort(rng.normal(size=pool))[::-1]
    vector_PF = rng.normal(size=(pool, 3)).astype(np.float32)
    everything = diversified(score_P, vector_PF, diversity, pool)
    assert sorted(everything) == list(range(pool))
    assert diversified(score_P, vector_PF, diversity, wanted).tolist() == list(everything[:wanted])


def test_equal_scores_are_told_apart_by_likeness_alone() -> None:
    order = diversified(np.ones(3), TWINS[:3], 0.1, 3)
    assert order.tolist() == [0, 2, 1]
