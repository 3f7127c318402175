import numpy as np
import pytest

from model.runtime.item_item import NOTHING
from model.runtime.profile import Profile
from model.runtime.top_k import rank_of
from service.recommend import explanation as comparison
from service.recommend.explanation import compared_with
from service.retrieval.query import Eligible, Query, Ranked


class ByRow:
    """Finds the lowest rows: item i has the score -i."""

    name = "exact"

    def best(self, queries: list[Query]) -> list[Ranked]:
        return [Ranked(q.eligible.rows()[: q.count], np.empty(0)) for q in queries]


USER = Profile(np.zeros((1, 1, 2), dtype=np.float32), NOTHING)


def test_few_items_are_all_compared() -> None:
    others = compared_with(ByRow(), USER, Eligible(30, np.array([3, 4])), 4)
    assert others.is_exact
    assert others.rows_C.tolist() == [row for row in range(30) if row != 3]
    scores_C = np.random.default_rng(0).integers(0, 5, 29).astype(np.float32)
    for place in range(29):
        assert others.rank(place, scores_C) == rank_of(place, scores_C)


@pytest.mark.parametrize(("row", "within"), [(0, 0), (700, 0), (50_000, 3000), (99_999, 3000)])
def test_of_many_the_best_are_exact_and_the_rest_is_estimated(row: int, within: int) -> None:
    excluded = np.arange(1, 11)
    others = compared_with(ByRow(), USER, Eligible(100_000, excluded), row)
    assert not others.is_exact
    assert others.num_items == 100_000 - 10
    assert len(others.rows_C) <= comparison._BEST + comparison._SAMPLED + 1
    assert (np.diff(others.rows_C) > 0).all()
    assert others.weight_C.sum() == pytest.approx(others.num_items)
    place = int(np.searchsorted(others.rows_C, row))
    true_rank = 1 + row - (10 if row > 10 else 0)
    found = others.rank(place, -others.rows_C.astype(np.float32))
    assert found == pytest.approx(true_rank, abs=within)
