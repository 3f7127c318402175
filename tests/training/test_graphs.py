import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.graphs import augmentation, build_views, content_neighbours
from training.modalities import ModalityFeatures


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


def test_augmentation_helps_items_of_low_degree_more() -> None:
    train = csr_array(
        np.array([[1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=np.float32)
    )
    smoothing_II = augmentation(train, [content_neighbours(features(TWO_KINDS), k=1)]).toarray()
    assert np.diag(smoothing_II) == pytest.approx(np.ones(5))
    assert smoothing_II[0, 1] > smoothing_II[1, 0] > 0  # item 1, without users, hears more


def test_views_are_the_symmetrically_normalised_products() -> None:
    train = csr_array(np.array([[1, 0.5, 0], [0, 1, 1]], dtype=np.float32))
    x_IF = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    kind = features([[1, 0], [0.9, 0.1], [0, 1]])
    smoothing_II = augmentation(train, [content_neighbours(kind)]).toarray()
    for view, product in zip(
        build_views(train, [kind]), (train.toarray(), train.toarray() @ smoothing_II), strict=True
    ):
        user, item = product.sum(1, keepdims=True) ** -0.5, product.sum(0) ** -0.5
        normalised_UI = user * product * item
        assert view.user_from_item(x_IF).numpy() == pytest.approx(
            normalised_UI @ x_IF.numpy(), abs=1e-5
        )
        y_UF = torch.randn(2, 2, generator=torch.Generator().manual_seed(1))
        back = view.user_from_item.T(y_UF).numpy()
        assert back == pytest.approx(normalised_UI.T @ y_UF.numpy(), abs=1e-5)
        summed = train.toarray() @ view.foldin(x_IF).numpy()
        assert user * summed == pytest.approx(normalised_UI @ x_IF.numpy(), abs=1e-5)


def test_gradients_flow_through_the_operators() -> None:
    train = csr_array(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.float32))
    view, _ = build_views(train, [])
    x_IF = torch.randn(3, 2, dtype=torch.float32, requires_grad=True)
    weight_UF = torch.randn(2, 2)
    (view.user_from_item(x_IF) * weight_UF).sum().backward()
    assert x_IF.grad is not None
    assert torch.allclose(x_IF.grad, view.user_from_item.T(weight_UF), atol=1e-6)
