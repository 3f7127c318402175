import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.runtime.top_k import top_places

# Few distinct values, so that ties are the rule.
scores = arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-1.5, 0.0, 0.5, 2.0]))


@given(scores, st.integers(0, 50), st.integers(1, 50))
def test_top_places_are_a_slice_of_the_full_order(scores_C, offset, k) -> None:
    full = sorted(range(len(scores_C)), key=lambda place: (-scores_C[place], place))
    assert top_places(scores_C, offset, k).tolist() == full[offset : offset + k]


@given(st.integers(200, 2_000), st.integers(0, 300), st.integers(1, 300), st.integers(0, 99))
def test_long_lists_are_ordered_alike(length, offset, k, seed) -> None:
    scores_C = np.random.default_rng(seed).integers(0, length // 2, length).astype(np.float32)
    full = sorted(range(length), key=lambda place: (-scores_C[place], place))
    assert top_places(scores_C, offset, k).tolist() == full[offset : offset + k]


@given(scores, st.integers(1, 7))
def test_pages_are_disjoint_and_complete(scores_C, k) -> None:
    pages = [top_places(scores_C, offset, k) for offset in range(0, len(scores_C), k)]
    together = np.concatenate(pages).tolist()
    assert sorted(together) == list(range(len(scores_C)))


def test_nothing_to_rank() -> None:
    assert len(top_places(np.empty(0, dtype=np.float32), 0, 5)) == 0
