import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.runtime.fold_in import fold_in
from service.recommend.explanation import (
    BIAS_PARTS,
    active_experts,
    bias_parts,
    by_modality,
    by_modality_and_view,
    by_view,
    expert_details,
    gate_entropy,
    history_evidence,
    largest_parts,
)


@pytest.fixture
def pair(artifact):
    rng = np.random.default_rng(0)
    weight_K = np.array([0.7, 0, 0.3, 0, 0], dtype=np.float32)
    contribution_KVM = rng.normal(size=(5, 2, 3)).astype(np.float32)
    contribution_KVM[weight_K == 0] = 0
    return artifact.manifest, weight_K, contribution_KVM


def test_active_experts_are_those_with_a_weight_largest_contribution_first(pair) -> None:
    manifest, weight_K, contribution_KVM = pair
    contribution_K = contribution_KVM.sum(axis=(1, 2))
    for sign in (1, -1):
        weight_NK = np.stack([weight_K, np.eye(5, dtype=np.float32)[1]])
        experts, single = active_experts(
            manifest, weight_NK, np.stack([sign * contribution_K, np.ones(5, dtype=np.float32)])
        )
        assert {expert["name"] for expert in experts} == {"dominant_behaviour", "dominant_picture"}
        assert sum(expert["weight"] for expert in experts) == pytest.approx(1)
        contributions = [expert["contribution"] for expert in experts]
        assert contributions == sorted(contributions, reverse=True)
        (text,) = single
        assert text == {
            "name": "dominant_text",
            "role": "dominant",
            "modality": "text",
            "weight": 1.0,
            "contribution": 1.0,
        }


def test_every_cut_of_a_score_has_the_same_sum(pair) -> None:
    manifest, _, contribution_KVM = pair
    total = pytest.approx(float(contribution_KVM.sum()), abs=1e-5)
    matrix = by_modality_and_view(manifest, contribution_KVM.sum(axis=0))
    experts = expert_details(*pair, range(1, 6))
    assert sum(expert["contribution"] for expert in experts) == total
    for expert in experts:
        cells = [cell for views in expert["matrix"].values() for cell in views.values()]
        assert sum(cells) == pytest.approx(expert["contribution"], abs=1e-5)
    assert sum(by_modality(manifest, contribution_KVM).values()) == total
    assert sum(by_view(manifest, contribution_KVM).values()) == total
    assert sum(sum(views.values()) for views in matrix.values()) == total
    assert matrix["text"]["augmented"] == pytest.approx(float(contribution_KVM[:, 1, 1].sum()))


@pytest.mark.parametrize(
    ("weights", "entropy"),
    [([1], 0), ([0, 1, 0], 0), ([0.25] * 4, 1), ([0.5, 0.5, 0, 0], 0.5)],
)
def test_gate_entropy(weights: list[float], entropy: float) -> None:
    assert gate_entropy(np.array(weights, dtype=np.float32)) == pytest.approx(entropy)


@pytest.mark.parametrize(
    ("modalities", "bias", "words"),
    [
        ({"text": 0.6, "behaviour": 0.3}, 0.1, "mostly text (60 % of what speaks for it), then "),
        ({"text": 0.9, "behaviour": 0.05}, 0.05, "mostly text (90 % of what speaks for it)"),
        ({"text": 0.4, "behaviour": 0.35}, 0.25, "led by text (40 % of what speaks for it), then "),
        (
            {"text": -0.3, "behaviour": 0.1},
            0.3,
            "mostly popularity (75 % of what speaks for it), then ",
        ),
        ({"text": -1.0, "behaviour": 0.1}, 0.3, "no more speaks for it than against it; text "),
        ({"text": -1.0, "behaviour": -2}, -1.5, "no more speaks for it than against it; behaviour"),
        ({"text": 0.0}, 0.0, "no more speaks for it than against it"),
    ],
)
def test_words_are_true_to_the_numbers(modalities, bias: float, words: str) -> None:
    names, parts = [*modalities, "popularity"], [*modalities.values(), bias]
    other = [0.0] * (len(parts) - 1) + [1.0]
    said, beside = largest_parts(names, np.array([parts, other]))
    assert beside == "mostly popularity (100 % of what speaks for it)"
    assert said.startswith(words)
    assert ("then" in said) == ("then" in words)


def test_the_bias_of_an_item_that_nobody_has_chosen_is_newness() -> None:
    bias_N, popularity_N = np.float32([0.5, -0.25]), np.array([3, 0])
    assert bias_parts(bias_N, popularity_N).tolist() == [[0.5, 0], [0, -0.25]]
    popular, new = largest_parts(["text", *BIAS_PARTS], np.array([[0.1, 0.9, 0], [0.1, 0, 0.9]]))
    assert popular.startswith("mostly popularity (90 %")
    assert new.startswith("mostly newness (90 %")


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0, 0.2, 20]))
def test_history_adds_up_to_the_score_less_its_bias(seed: int, num_history: int, scale) -> None:
    rng = np.random.default_rng(seed)
    foldin_HVMD = rng.normal(size=(num_history, 2, 3, 8)).astype(np.float32)
    neighbourhood_H = (scale * rng.normal(size=num_history)).astype(np.float32)
    item_VMD = unit(rng.normal(size=(2, 3, 8))).astype(np.float32)
    similarity_VM = np.einsum("vmd,vmd->vm", unit(fold_in(foldin_HVMD)), item_VMD)
    similarity_VM[0, 0] += neighbourhood_H.sum()
    contribution_KVM = rng.uniform(0.1, 2, size=(5, 2, 3)) * similarity_VM
    parts_H = history_evidence(item_VMD, foldin_HVMD, neighbourhood_H, contribution_KVM)
    assert parts_H.sum() == pytest.approx(contribution_KVM.sum(), abs=1e-3)


def test_the_history_item_that_points_at_the_item_gets_the_credit() -> None:
    foldin_HVMD = np.array([[[[1, 0]]], [[[0, 1]]]], dtype=np.float32)
    user_VMD = fold_in(foldin_HVMD)
    item_VMD = np.array([[[1, 0]]], dtype=np.float32)
    contribution_KVM = np.einsum("vmd,vmd->vm", unit(user_VMD), item_VMD)[None] * 3
    parts_H = history_evidence(
        item_VMD, foldin_HVMD, np.zeros(2, dtype=np.float32), contribution_KVM
    )
    assert parts_H == pytest.approx([contribution_KVM.sum(), 0])


def test_the_history_item_that_speaks_for_the_item_gets_the_credit() -> None:
    foldin_HVMD = np.array([[[[1, 0]]], [[[1, 0]]]], dtype=np.float32)
    item_VMD = np.array([[[0.5, 0]]], dtype=np.float32)  # half a cosine, a quarter from each
    neighbourhood_H = np.array([0.75, -0.25], dtype=np.float32)
    contribution_KVM = np.array([[[4 * (0.5 + 0.75 - 0.25)]]], dtype=np.float32)
    parts_H = history_evidence(item_VMD, foldin_HVMD, neighbourhood_H, contribution_KVM)
    assert parts_H == pytest.approx([4 * (0.25 + 0.75), 4 * (0.25 - 0.25)])


def test_a_neighbourhood_counts_where_the_history_has_no_vector() -> None:
    nothing_HVMD = np.zeros((2, 1, 1, 2), dtype=np.float32)
    item_VMD = np.array([[[1, 0]]], dtype=np.float32)
    neighbourhood_H = np.array([0.3, 0.1], dtype=np.float32)
    contribution_KVM = np.array([[[0.8]]], dtype=np.float32)
    parts_H = history_evidence(item_VMD, nothing_HVMD, neighbourhood_H, contribution_KVM)
    assert parts_H == pytest.approx([0.6, 0.2])
