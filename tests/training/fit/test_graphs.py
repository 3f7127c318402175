import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from model.network.fused_scores import unit_rows
from model.network.graph import Propagated, View, propagate
from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.fit.graphs import build_graph, cold_strength, content_neighbours, spectral_start


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


def test_views_are_the_symmetrically_normalised_products() -> None:
    train = csr_array(np.array([[1, 0.5, 0], [0, 1, 1]], dtype=np.float32))
    x_IF = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    y_UF = torch.randn(2, 2, generator=torch.Generator().manual_seed(1))
    kinds = [features([[1, 0], [0.9, 0.1], [0, 1]]), features([[0, 1], [1, 0], [0.1, 1]])]
    graph, weight_E = build_graph(train, kinds), torch.tensor([0.3, 0.7])
    edges = cold_strength(train)[:, None] * sum(
        w * content_neighbours(kind).toarray()
        for w, kind in zip(weight_E.tolist(), kinds, strict=True)
    )
    for view, product in (
        (View(graph), train.toarray()),
        (View(graph, weight_E), train.toarray() @ (np.eye(3) + np.asarray(edges).T)),
    ):
        user, item = product.sum(1, keepdims=True) ** -0.5, product.sum(0) ** -0.5
        normalised_UI = user * product * item
        assert view.users(x_IF).numpy() == pytest.approx(normalised_UI @ x_IF.numpy(), abs=1e-5)
        item_IF, _ = view.items(y_UF)
        assert item_IF.numpy() == pytest.approx(normalised_UI.T @ y_UF.numpy(), abs=1e-5)
        summed = train.toarray() @ view.foldin(x_IF).numpy()
        assert user * summed == pytest.approx(normalised_UI @ x_IF.numpy(), abs=1e-5)


TWINS = features([[1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9]])
"""Items 0 and 2 are content neighbours, and so are 1 and 3."""


def propagated(train: list[list[int]], start_IF: torch.Tensor) -> Propagated:
    view = View(build_graph(csr_array(np.array(train, dtype=np.float32)), [TWINS]), torch.ones(1))
    return propagate(view, start_IF, torch.zeros_like(start_IF), num_layers=1)


def test_a_masked_item_is_the_item_as_if_nobody_had_chosen_it() -> None:
    start_IF = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    start_IF[2] = 0
    chosen = propagated([[1, 0, 0, 0], [0, 1, 1, 1]], start_IF)
    unchosen = propagated([[1, 0, 0, 0], [0, 1, 0, 1]], start_IF)
    assert unchosen.item_IF[2].norm() > 0
    assert torch.allclose(unchosen.cold_IF[2], unchosen.item_IF[2], atol=1e-6)
    item_D, masked_D = (unit_rows(x)[2] for x in (chosen.item_IF, chosen.cold_IF))
    assert torch.allclose(masked_D, unit_rows(unchosen.item_IF)[2], atol=1e-6)
    assert not torch.allclose(item_D, masked_D, atol=0.1)


def test_without_content_a_masked_item_is_zero() -> None:
    train = csr_array(np.eye(4, dtype=np.float32))
    start_IF = torch.ones(4, 2)
    found = propagate(View(build_graph(train, [])), start_IF, torch.zeros_like(start_IF), 2)
    assert not found.cold_IF.any()


def test_gradients_reach_embeddings_and_edge_weights() -> None:
    train = csr_array(np.array([[1, 1, 0, 0], [0, 1, 1, 0]], dtype=np.float32))
    graph = build_graph(train, [features([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])])
    x_IF = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight_E = torch.tensor([0.6], requires_grad=True)

    def value(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return propagate(View(graph, weight), x, x, num_layers=2).foldin_IF.sin().sum()

    value(x_IF, weight_E).backward()
    assert x_IF.grad is not None
    assert weight_E.grad is not None
    step = 1e-2
    slope = (value(x_IF, weight_E + step) - value(x_IF, weight_E - step)) / (2 * step)
    assert weight_E.grad.item() == pytest.approx(slope.item(), rel=1e-2)
    direction_IF = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    moved = [value(x_IF + sign * step * direction_IF, weight_E) for sign in (1, -1)]
    slope = (moved[0] - moved[1]) / (2 * step)
    assert (x_IF.grad * direction_IF).sum().item() == pytest.approx(slope.item(), rel=1e-2)


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
