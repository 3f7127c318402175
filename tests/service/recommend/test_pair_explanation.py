import numpy as np
import pytest

from model.runtime.item_item import NO_SCORES
from model.runtime.profile import Profile
from model.runtime.top_k import top_places
from service.recommend import pair_explanation
from service.recommend.pair_explanation import (
    by_modality_and_view,
    compared_with,
    expert_details,
    gate_entropy,
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
