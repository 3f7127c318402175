import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.fit.graphs import Walks, cold_strength, content_neighbours, spectral_start


def features(x: list[list[float]], missing: tuple[int, ...] = ()) -> ModalityFeatures:
    present_I = np.ones(len(x), dtype=np.bool_)
    present_I[list(missing)] = False
    return ModalityFeatures(x_IF=np.array(x, dtype=np.float32), present_I=present_I)


TWO_KINDS = [[1, 0, 5], [0.9, 0.1, 5], [0, 1, 5], [0.1, 0.9, 5], [0, 0, 0]]


def test_neighbours_are_found_after_centring_and_missing_items_have_none() -> None:
    edges_II = content_neighbours(features(TWO_KINDS, missing=(4,)), k=1).toarray()
    assert edges_II.argmax(axis=1)[:4].tolist() == [1, 0, 3, 2]
    assert edges_II[4].sum() == 0
    assert edges_II[:, 4].sum() == 0
    assert edges_II.sum(axis=1)[:4] == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize("num_items", [1, 2])
def test_a_catalogue_smaller_than_the_neighbourhood(num_items: int) -> None:
    assert content_neighbours(features(TWO_KINDS[:num_items])).shape == (num_items, num_items)


def test_items_of_low_degree_have_more_cold_strength() -> None:
    train = csr_array(
        np.array([[1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=np.float32)
    )
    strength_I = cold_strength(train)
    assert strength_I[1] == 1  # without users
    assert 0 < strength_I[0] < strength_I[2] < 1


def test_items_of_one_group_start_together(communities: Dataset) -> None:
    start_ID = spectral_start(communities.train, 4)
    unit_ID = start_ID / np.linalg.norm(start_ID, axis=1, keepdims=True)
    group_I = np.arange(60) % 4
    cosine_II = unit_ID @ unit_ID.T
    same_II = group_I[:, None] == group_I
    assert cosine_II[same_II].min() > cosine_II[~same_II].max()
    assert np.linalg.norm(start_ID, axis=1) == pytest.approx(np.full(60, 0.1 * 4**0.5))


def test_it_is_the_decomposition_of_the_normalised_matrix(communities: Dataset) -> None:
    likes_UI = communities.train.toarray().astype(np.float64)
    normalised_UI = likes_UI / np.sqrt(np.outer(likes_UI.sum(1), likes_UI.sum(0)))
    _, value_D, right_DI = np.linalg.svd(normalised_UI, full_matrices=False)
    exact_ID = right_DI[:4].T * np.sqrt(value_D[:4])
    exact_ID /= np.linalg.norm(exact_ID, axis=1, keepdims=True)
    start_ID = spectral_start(communities.train, 4).astype(np.float64) / (0.1 * 4**0.5)
    assert start_ID @ start_ID.T == pytest.approx(exact_ID @ exact_ID.T, abs=1e-3)


def test_few_items_start_with_as_many_columns_as_there_are() -> None:
    assert spectral_start(csr_array(np.eye(3, dtype=np.float32)), 8).shape == (3, 3)


def test_items_without_interactions_start_at_nothing() -> None:
    train = np.zeros((4, 6), dtype=np.float32)
    train[:, :3] = np.random.default_rng(0).random((4, 3)) < 0.7
    train[0, :3] = 1
    assert not spectral_start(csr_array(train), 2)[3:].any()


def test_walks_estimate_a_layer_of_lightgcn() -> None:
    rng = np.random.default_rng(0)
    weight_UI = np.where(rng.random((60, 30)) < 0.2, rng.random((60, 30)), 0).astype(np.float32)
    weight_UI[:, 7] = 0
    user_scale_U, item_scale_I = (np.maximum(weight_UI.sum(axis), 1e-12) ** -0.5 for axis in (1, 0))
    half_UI = diags_array(user_scale_U) @ weight_UI @ diags_array(item_scale_I)
    walks = Walks.over(csr_array(weight_UI))
    assert walks.layer(rng, 20_000).toarray() == pytest.approx(half_UI.T @ half_UI, abs=0.02)
    few_II = walks.layer(rng, 3)
    assert np.diff(few_II.indptr).max() == 3
    assert np.diff(few_II.indptr)[7] == 0
