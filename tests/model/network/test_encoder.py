"""Embeddings of items and users against what the definitions give, written densely."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn.functional import normalize

from model.network.config import MagnetConfig
from model.network.encoder import GraphEncoder, fold_in, with_user_part
from model.network.graph import Graph
from model.network.magnet import Magnet
from training.fit.graphs import cold_strength, sparse_operator

LIKES_UI = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 0]], dtype=np.float32)
"""Nobody has chosen item 4."""
NEAR_EII = np.random.default_rng(1).random((2, 5, 5)).astype(np.float32)


def graph(likes_UI: np.ndarray, near_EII: np.ndarray) -> Graph:
    train = csr_array(likes_UI)
    return Graph(
        sparse_operator(train),
        tuple(sparse_operator(csr_array(near_II)) for near_II in near_EII),
        torch.from_numpy(cold_strength(train)).unsqueeze(1),
    )


def magnet(likes_UI: np.ndarray, num_content: int = 2) -> Magnet:
    """Of items with features 3 and 4 wide, all parameters being arbitrary."""
    num_items = likes_UI.shape[1]
    generator = torch.Generator().manual_seed(0)
    modalities = ("behaviour", "text", "picture")[: 1 + num_content]
    made = Magnet(
        MagnetConfig(modalities=modalities, embedding_dim=4),
        features=[torch.randn(num_items, 3 + m, generator=generator) for m in range(num_content)],
        popularity_I=torch.from_numpy(likes_UI.sum(0)),
        trust_U=torch.tensor([0.5, 0.25, 0.0]),
        generator=generator,
    )
    for parameter in (made.log_edge_weight_E, made.user_behaviour_UD):
        parameter.data.normal_(generator=generator)
    return made


def propagated(likes_UI: np.ndarray) -> torch.Tensor:
    """What two layers of LightGCN make of items [I, I], users starting from zero."""
    user_U1, item_1I = likes_UI.sum(1, keepdims=True), likes_UI.sum(0, keepdims=True)
    scaled_UI = likes_UI / np.sqrt(np.maximum(user_U1, 1) * np.maximum(item_1I, 1))
    step_II = torch.from_numpy(scaled_UI.T @ scaled_UI)
    return torch.eye(len(step_II)) + step_II + step_II @ step_II


@torch.no_grad()
def test_items_are_what_the_definition_makes_of_them() -> None:
    model = magnet(LIKES_UI)
    found = GraphEncoder(model, graph(LIKES_UI, NEAR_EII)).embed(cold_X=torch.arange(5))
    spread_II = propagated(LIKES_UI)
    near_II = torch.einsum("e,eij->ij", model.log_edge_weight_E.exp(), torch.from_numpy(NEAR_EII))
    strength_I1 = torch.from_numpy(cold_strength(csr_array(LIKES_UI)))[:, None]
    raw = [model.item_behaviour_ID * model.known_I1, *model.encode_content(model.feature_IF)]
    views_VMID, cold_VMID = torch.zeros(2, 2, 3, 5, 4)
    for m, x_ID in enumerate(raw):
        views_VMID[0, m] = spread_II @ x_ID
        views_VMID[1, m] = views_VMID[0, m] + strength_I1 * (near_II @ views_VMID[0, m])
        own_ID = torch.zeros_like(x_ID) if m == 0 else x_ID
        cold_VMID[0, m] = own_ID
        cold_VMID[1, m] = own_ID + near_II @ views_VMID[0, m]
    item_IVMD, cold_IVMD = (x.permute(2, 0, 1, 3) for x in (views_VMID, cold_VMID))
    degree_I = torch.from_numpy(LIKES_UI.sum(0))
    scale_I = torch.where(degree_I > 0, degree_I.clamp_min(1e-9) ** -0.5, 0)
    torch.testing.assert_close(found.item_IVMD, normalize(item_IVMD, dim=-1))
    torch.testing.assert_close(found.cold_IVMD, normalize(cold_IVMD, dim=-1))
    torch.testing.assert_close(found.foldin_IVMD, scale_I[:, None, None, None] * item_IVMD)


@torch.no_grad()
def test_wanted_items_are_rows_of_all() -> None:
    encoder = GraphEncoder(magnet(LIKES_UI), graph(LIKES_UI, NEAR_EII))
    item_X, cold_X = torch.tensor([3, 0, 3]), torch.tensor([4, 1])
    every, some = encoder.embed(cold_X=torch.arange(5)), encoder.embed(item_X, cold_X)
    torch.testing.assert_close(some.item_IVMD, every.item_IVMD[item_X])
    torch.testing.assert_close(some.cold_IVMD, every.cold_IVMD[cold_X])
    torch.testing.assert_close(some.foldin_IVMD, every.foldin_IVMD[item_X])


@torch.no_grad()
def test_without_content_both_views_are_one_and_a_masked_item_is_zero() -> None:
    found = GraphEncoder(magnet(LIKES_UI, 0), graph(LIKES_UI, NEAR_EII[:0])).embed(
        cold_X=torch.arange(5)
    )
    torch.testing.assert_close(found.item_IVMD[:, 0], found.item_IVMD[:, 1])
    assert found.item_IVMD[:4].any(dim=-1).all()
    assert not found.cold_IVMD.any()


@torch.no_grad()
def test_a_masked_item_is_the_item_as_if_nobody_had_chosen_it() -> None:
    near_EII = np.zeros((2, 4, 4), dtype=np.float32)
    near_EII[:, [0, 2, 1, 3], [2, 0, 3, 1]] = 1  # 0 and 2 are alike, and so are 1 and 3
    made = []
    for likes in ([[1, 0, 0, 0], [0, 1, 1, 1]], [[1, 0, 0, 0], [0, 1, 0, 1]]):
        likes_UI = np.array(likes, dtype=np.float32)
        model = magnet(likes_UI)
        made.append(GraphEncoder(model, graph(likes_UI, near_EII)).embed(cold_X=torch.arange(4)))
    chosen, unchosen = made
    torch.testing.assert_close(unchosen.cold_IVMD[2], unchosen.item_IVMD[2])
    torch.testing.assert_close(chosen.cold_IVMD[2], unchosen.item_IVMD[2])
    assert not torch.allclose(chosen.item_IVMD[2], chosen.cold_IVMD[2], atol=0.1)
    assert unchosen.item_IVMD[2, 1].any(dim=-1).all()


@torch.no_grad()
def test_another_models_weights_are_encoded_with_its_own_edges() -> None:
    one, other = magnet(LIKES_UI), magnet(LIKES_UI)
    other.log_edge_weight_E += torch.tensor([1.0, -1.0])
    whole = graph(LIKES_UI, NEAR_EII)
    again = GraphEncoder(one, whole).of(other).embed()
    torch.testing.assert_close(again.item_IVMD, GraphEncoder(other, whole).embed().item_IVMD)


LAYER_II = np.random.default_rng(3).random((5, 5)).astype(np.float32)


def spread_by_layer() -> torch.Tensor:
    """What two layers like `LAYER_II` make of items [I, I]."""
    layer_II = torch.from_numpy(LAYER_II)
    return torch.eye(5) + layer_II + layer_II @ layer_II


@torch.no_grad()
def test_a_sampled_layer_hands_on_changes_since_the_last_refresh() -> None:
    model, whole = magnet(LIKES_UI), graph(LIKES_UI, NEAR_EII)
    encoder, layer = GraphEncoder(model, whole), sparse_operator(csr_array(LAYER_II))
    before = encoder.embed().foldin_IVMD
    encoder.refresh(layer)
    torch.testing.assert_close(encoder.embed().foldin_IVMD, before)
    model.item_behaviour_ID[1] += 1
    change_ID = spread_by_layer()[:, 1:2].expand(5, 4)
    degree_I1 = torch.from_numpy(LIKES_UI.sum(0))[:, None]
    expected_ID = before[:, 0, 0] + change_ID * degree_I1.clamp_min(1).rsqrt() * (degree_I1 > 0)
    torch.testing.assert_close(encoder.embed().foldin_IVMD[:, 0, 0], expected_ID)
    after = GraphEncoder(model, whole).embed().foldin_IVMD
    torch.testing.assert_close(encoder.of(model).embed().foldin_IVMD, after)
    encoder.refresh(layer)
    torch.testing.assert_close(encoder.embed().foldin_IVMD, after)


def test_a_sampled_layer_hands_on_gradients() -> None:
    model = magnet(LIKES_UI)
    encoder = GraphEncoder(model, graph(LIKES_UI, NEAR_EII))
    encoder.refresh(sparse_operator(csr_array(LAYER_II)))
    encoder.embed().foldin_IVMD[0, 0, 0].sum().backward()
    expected_I = LIKES_UI[:, 0].sum() ** -0.5 * spread_by_layer()[0] * model.known_I1[:, 0]
    expected_ID = expected_I[:, None].expand(5, 4)
    torch.testing.assert_close(model.item_behaviour_ID.grad, expected_ID)


def test_a_users_row_is_as_long_as_their_history_is_coherent() -> None:
    foldin_IVMD = torch.tensor([[3.0, 0], [0, 4], [0, 0]])[:, None, None]
    weights = csr_array(np.array([[1, 1, 1], [2, 0, 0], [0, 0, 1]], dtype=np.float32))
    user_BVMD = fold_in(foldin_IVMD, sparse_operator(weights))
    expected = torch.tensor([[3 / 7, 4 / 7], [1, 0], [0, 0]])
    torch.testing.assert_close(user_BVMD[:, 0, 0], expected)


def test_the_free_part_joins_behaviour_in_both_views_and_learns_as_far_as_it_is_trusted() -> None:
    model = magnet(LIKES_UI)
    user_B = torch.tensor([1, 0, 2])
    part_BD = model.user_part(user_B)
    expected_BD = torch.tensor([[0.25], [0.5], [0.0]]) * model.user_behaviour_UD[user_B]
    torch.testing.assert_close(part_BD, expected_BD)
    folded_BVMD = torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(2))
    user_BVMD = with_user_part(folded_BVMD, part_BD)
    torch.testing.assert_close(user_BVMD[:, :, 1:], folded_BVMD[:, :, 1:])
    for view in range(2):
        torch.testing.assert_close(user_BVMD[:, view, 0], folded_BVMD[:, view, 0] + part_BD)
    user_BVMD.sum().backward()
    gradient_U = model.user_behaviour_UD.grad[:, 0]
    assert gradient_U.tolist() == pytest.approx([2 * 0.5, 2 * 0.25, 0])  # once in every view
