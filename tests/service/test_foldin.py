import numpy as np
import pytest

from service.foldin import blend, fold_in, normalise


def test_fold_in_is_the_normalised_sum() -> None:
    session_HVMD = np.array([[[[3, 0]]], [[[0, 4]]]], dtype=np.float32)
    assert fold_in(session_HVMD) == pytest.approx(np.array([[[0.6, 0.8]]]))


def test_a_modality_that_says_nothing_stays_zero() -> None:
    session_HVMD = np.array([[[[3, 0], [0, 0]]]], dtype=np.float32)
    assert fold_in(session_HVMD).tolist() == [[[1, 0], [0, 0]]]


@pytest.mark.parametrize("num_items", [0, 2])
def test_nothing_to_fold_in(num_items: int) -> None:
    assert fold_in(np.zeros((num_items, 2, 3, 4), dtype=np.float32)) is None


def test_blend_lies_half_way_and_has_length_one() -> None:
    user = np.array([[[1, 0], [1, 0]]], dtype=np.float32)
    session = np.array([[[0, 1], [0, 0]]], dtype=np.float32)
    half = np.sqrt(0.5)
    assert blend(user, session) == pytest.approx(np.array([[[half, half], [1, 0]]]))


def test_normalise_leaves_its_argument_alone() -> None:
    vectors = np.full((1, 1, 2), 2, dtype=np.float32)
    normalise(vectors)
    assert vectors.tolist() == [[[2, 2]]]
