import numpy as np
import pytest

from model.runtime.item_item import NO_SCORES
from model.runtime.profile import Profile, ProfileMaker, Vectors, fold_in, row_lengths


def blend(user: Vectors, session: Vectors) -> Vectors:
    return Profile(user, NO_SCORES).blended_with(Profile(session, NO_SCORES)).vector_VMD


def folded(rows_HVMD: Vectors) -> Vectors:
    """Of rows of equal weight."""
    return fold_in(rows_HVMD, row_lengths(rows_HVMD), np.ones(len(rows_HVMD), dtype=np.float32))


def test_fold_in_is_as_long_as_the_session_is_coherent() -> None:
    session_HVMD = np.array([[[[3, 0], [2, 0]]], [[[0, 4], [5, 0]]]], dtype=np.float32)
    assert folded(session_HVMD) == pytest.approx(np.array([[[3 / 7, 4 / 7], [1, 0]]]))


def test_a_modality_that_says_nothing_stays_zero() -> None:
    session_HVMD = np.array([[[[3, 0], [0, 0]]]], dtype=np.float32)
    assert folded(session_HVMD).tolist() == [[[1, 0], [0, 0]]]


@pytest.mark.parametrize("num_items", [0, 2])
def test_nothing_to_fold_in(num_items: int) -> None:
    assert not folded(np.zeros((num_items, 2, 3, 4), dtype=np.float32)).any()


def test_blend_is_the_fold_in_of_both_histories_with_equal_totals() -> None:
    history_HVMD = np.array([[[[3, 0]]], [[[0, 4]]]], dtype=np.float32)
    session_HVMD = np.array([[[[0, 7]]]], dtype=np.float32)
    user, session = folded(history_HVMD), folded(session_HVMD)
    together = folded(np.concatenate([history_HVMD, session_HVMD]))
    assert blend(user, session) == pytest.approx(together)


def test_blend_takes_the_direction_of_the_side_that_has_one() -> None:
    user = np.array([[[0.5, 0]]], dtype=np.float32)
    assert blend(user, np.zeros_like(user)) == pytest.approx(np.array([[[0.25, 0]]]))


def test_a_changed_history_is_folded_in_anew_and_the_free_part_stays(artifact) -> None:
    profiles = ProfileMaker.of(artifact.tensors, recency_power=0.5, item_item_deviation=0.3)
    history, now = np.array([4, 9, 2]), np.array([4, 2, 30, 9, 7])
    free_VMD = np.zeros_like(artifact.tensors["user_embeddings"][0])
    free_VMD[:, 0] = [[0.3, -0.2, 0.1, 0, 0, 0, 0, 0.5]] * 2
    changed_VMD = profiles.changed(profiles.of_history(history).vector_VMD + free_VMD, history, now)
    wanted_VMD = profiles.of_history(now).vector_VMD + free_VMD
    assert changed_VMD == pytest.approx(wanted_VMD, abs=1e-6)


def test_of_a_user_who_has_taken_all_back_no_rounding_is_left(artifact) -> None:
    profiles = ProfileMaker.of(artifact.tensors, recency_power=0.5, item_item_deviation=0.3)
    history = np.arange(40)
    vector_VMD = profiles.of_history(history).vector_VMD + np.float32(1e-8)
    assert not profiles.changed(vector_VMD, history, history[:0]).any()
