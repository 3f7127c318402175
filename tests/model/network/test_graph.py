import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from model.network.graph import Graph, Propagation
from training.fit.graphs import sparse_operator

LIKES_UI = np.array([[1, 0.5, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=np.float32)
"""Nobody has chosen the last item, and the last user nothing."""
EDGES_EII = np.random.default_rng(0).random((2, 4, 4), dtype=np.float32)
WEIGHT_E = torch.tensor([0.3, 0.7])


def graph() -> Graph:
    return Graph(
        sparse_operator(csr_array(LIKES_UI)),
        tuple(sparse_operator(csr_array(edges_II)) for edges_II in EDGES_EII),
        torch.full((4, 1), 0.5),
    )


def rows(num_rows: int) -> torch.Tensor:
    return torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(num_rows))


def normalised() -> np.ndarray:
    """D_u^-1/2 R D_i^-1/2, zero where a degree is."""
    user_U1, item_1I = LIKES_UI.sum(1, keepdims=True), LIKES_UI.sum(0, keepdims=True)
    scale_UI = np.sqrt(user_U1 * item_1I)
    return np.divide(LIKES_UI, scale_UI, out=np.zeros_like(LIKES_UI), where=scale_UI > 0)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_items_are_lightgcns_with_users_that_start_at_zero(num_layers: int) -> None:
    """The whole adjacency [U + I, U + I] as a dense matrix, LightGCN's own formula."""
    users, items = LIKES_UI.shape
    adjacency = np.zeros((users + items, users + items), dtype=np.float32)
    adjacency[:users, users:] = normalised()
    adjacency[users:, :users] = normalised().T
    item_IF = rows(items)
    layer = np.concatenate([np.zeros((users, 3), dtype=np.float32), item_IF.numpy()])
    total = layer.copy()
    for _ in range(2 * num_layers):  # from items to users, and back
        layer = adjacency @ layer
        total += layer
    found_IF = Propagation(graph()).items(item_IF, num_layers)
    assert found_IF.numpy() == pytest.approx(total[users:], abs=1e-5)


def test_what_an_item_adds_to_a_user_is_scaled_by_its_degree() -> None:
    propagation, item_IF = Propagation(graph()), rows(4)
    user_scale_U1 = np.maximum(LIKES_UI.sum(1, keepdims=True), 1e-12) ** -0.5
    summed_UF = LIKES_UI @ (propagation.item_scale_I1 * item_IF).numpy()
    assert user_scale_U1 * summed_UF == pytest.approx(normalised() @ item_IF.numpy(), abs=1e-5)


def test_neighbours_are_the_weighted_sum_over_the_kinds_of_edge() -> None:
    item_IF = rows(4)
    expected_IF = np.einsum("e,eij,jf->if", WEIGHT_E, EDGES_EII, item_IF)
    found_IF = Propagation(graph()).neighbours(item_IF, WEIGHT_E)
    assert found_IF.numpy() == pytest.approx(expected_IF, abs=1e-5)


def test_gradients_reach_embeddings_and_edge_weights() -> None:
    propagation = Propagation(graph())
    item_IF, weight_E = rows(4).requires_grad_(), WEIGHT_E.clone().requires_grad_()

    def value(item_IF: torch.Tensor, weight_E: torch.Tensor) -> torch.Tensor:
        return propagation.neighbours(propagation.items(item_IF, 2), weight_E).sin().sum()

    value(item_IF, weight_E).backward()
    step = 1e-2
    for x, others in ((item_IF, lambda x: (x, weight_E)), (weight_E, lambda x: (item_IF, x))):
        direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        up, down = (value(*others(x.detach() + sign * step * direction)) for sign in (1, -1))
        slope = ((up - down) / (2 * step)).item()
        assert (x.grad * direction).sum().item() == pytest.approx(slope, rel=1e-2)
