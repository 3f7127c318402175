import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.runtime.item_item import NO_SCORES
from model.runtime.profile import Profile, fold_in
from model.runtime.top_k import top_places
from service.recommend import pair_explanation
from service.recommend.pair_explanation import (
    by_modality_and_view,
    compared_with,
    expert_details,
    gate_entropy,
    history_evidence,
)
from service.retrieval.query import Eligible, Query, Ranked


class ByRow:
    """Finds the lowest rows: item i has the score -i."""

    name = "exact"

    def best(self, queries: list[Query]) -> list[Ranked]:
        return [Ranked(q.eligible.rows()[: q.count], np.empty(0)) for q in queries]


USER = Profile(np.zeros((1, 1, 2), dtype=np.float32), NO_SCORES)


def test_few_items_are_all_compared() -> None:
    others = compared_with(ByRow(), USER, Eligible(30, np.array([3, 4])), 4)
    assert others.is_exact
    assert others.rows_C.tolist() == [row for row in range(30) if row != 3]
    scores_C = np.random.default_rng(0).integers(0, 5, 29).astype(np.float32)
    for rank, place in enumerate(top_places(scores_C, 0, 29), 1):
        assert others.rank(int(place), scores_C) == rank


@pytest.mark.parametrize(("row", "within"), [(0, 0), (700, 0), (50_000, 3000), (99_999, 3000)])
def test_of_many_the_best_are_exact_and_the_rest_is_estimated(row: int, within: int) -> None:
    excluded = np.arange(1, 11)
    others = compared_with(ByRow(), USER, Eligible(100_000, excluded), row)
    assert not others.is_exact
    assert others.num_items == 100_000 - 10
    assert len(others.rows_C) <= pair_explanation._BEST + pair_explanation._SAMPLED + 1
    assert (np.diff(others.rows_C) > 0).all()
    assert others.weight_C.sum() == pytest.approx(others.num_items)
    place = int(np.searchsorted(others.rows_C, row))
    true_rank = 1 + row - (10 if row > 10 else 0)
    found = others.rank(place, -others.rows_C.astype(np.float32))
    assert found == pytest.approx(true_rank, abs=within)


@pytest.fixture
def pair(artifact):
    rng = np.random.default_rng(0)
    weight_K = np.array([0.7, 0, 0.3, 0, 0], dtype=np.float32)
    contribution_KVM = rng.normal(size=(5, 2, 3)).astype(np.float32)
    contribution_KVM[weight_K == 0] = 0
    return artifact.manifest, weight_K, contribution_KVM


def test_every_cut_of_a_score_has_the_same_sum(pair) -> None:
    manifest, _, contribution_KVM = pair
    total = pytest.approx(float(contribution_KVM.sum()), abs=1e-5)
    matrix = by_modality_and_view(manifest, contribution_KVM.sum(axis=0))
    experts = expert_details(*pair, range(1, 6))
    assert sum(expert["contribution"] for expert in experts) == total
    for expert in experts:
        cells = [cell for views in expert["matrix"].values() for cell in views.values()]
        assert sum(cells) == pytest.approx(expert["contribution"], abs=1e-5)
    assert sum(sum(views.values()) for views in matrix.values()) == total
    assert matrix["text"]["augmented"] == pytest.approx(float(contribution_KVM[:, 1, 1].sum()))


@pytest.mark.parametrize(
    ("weights", "entropy"),
    [([1], 0), ([0, 1, 0], 0), ([0.25] * 4, 1), ([0.5, 0.5, 0, 0], 0.5)],
)
def test_gate_entropy(weights: list[float], entropy: float) -> None:
    assert gate_entropy(np.array(weights, dtype=np.float32)) == pytest.approx(entropy)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0, 0.2, 20]))
def test_history_adds_up_to_the_score_less_its_bias(seed: int, num_history: int, scale) -> None:
    rng = np.random.default_rng(seed)
    foldin_HVMD = rng.normal(size=(num_history, 2, 3, 8)).astype(np.float32)
    item_item_H = (scale * rng.normal(size=num_history)).astype(np.float32)
    item_VMD = unit(rng.normal(size=(2, 3, 8))).astype(np.float32)
    similarity_VM = np.einsum("vmd,vmd->vm", unit(fold_in(foldin_HVMD)), item_VMD)
    similarity_VM[0, 0] += item_item_H.sum()
    contribution_KVM = rng.uniform(0.1, 2, size=(5, 2, 3)) * similarity_VM
    parts_H = history_evidence(item_VMD, foldin_HVMD, item_item_H, contribution_KVM)
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
    item_item_H = np.array([0.75, -0.25], dtype=np.float32)
    contribution_KVM = np.array([[[4 * (0.5 + 0.75 - 0.25)]]], dtype=np.float32)
    parts_H = history_evidence(item_VMD, foldin_HVMD, item_item_H, contribution_KVM)
    assert parts_H == pytest.approx([4 * (0.25 + 0.75), 4 * (0.25 - 0.25)])


def test_an_item_item_score_counts_where_the_history_has_no_vector() -> None:
    nothing_HVMD = np.zeros((2, 1, 1, 2), dtype=np.float32)
    item_VMD = np.array([[[1, 0]]], dtype=np.float32)
    item_item_H = np.array([0.3, 0.1], dtype=np.float32)
    contribution_KVM = np.array([[[0.8]]], dtype=np.float32)
    parts_H = history_evidence(item_VMD, nothing_HVMD, item_item_H, contribution_KVM)
    assert parts_H == pytest.approx([0.6, 0.2])
