"""Points of a query: the answer is that of routing every item and adding them."""

import numpy as np
import pytest

from service.retrieval import approximate
from service.retrieval.approximate import ApproximateRetriever, Effort, FaissIndex
from service.retrieval.query import Eligible, Query, most_popular_with_points

NUM_ITEMS = 9000


def points_of(shape: str, scores_I: np.ndarray) -> np.ndarray:
    """Points that matter in different ways to someone with these scores."""
    rng = np.random.default_rng(3)
    points_I = np.zeros(NUM_ITEMS, dtype=np.float32)
    if shape == "few up":
        points_I[rng.choice(NUM_ITEMS, 30)] = 5
    elif shape == "many up":
        points_I[rng.choice(NUM_ITEMS, 6000, replace=False)] = 0.4
    elif shape == "the best down":
        points_I[np.argsort(-scores_I)[:3000]] = -100
    elif shape == "all by some":
        points_I[:] = rng.normal(-1, 1, NUM_ITEMS)
    return points_I


SHAPES = ["few up", "many up", "the best down", "all by some", "none"]


def check(found, total_I, eligible, count) -> None:
    rows = eligible.rows()
    want_N = np.sort(total_I[rows])[::-1][:count]
    assert len(set(found.rows.tolist())) == count
    assert eligible.among(found.rows).tolist() == found.rows.tolist()
    assert total_I[found.rows] == pytest.approx(want_N, abs=2e-5)
    assert found.scores == pytest.approx(total_I[found.rows], abs=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [5, 300])
def test_exactly(exact_of, scorer_of, profile_of, large, shape, count) -> None:
    profiles = [profile_of(large.tensors, user) for user in range(4)]
    scores = [scorer_of(large).score(profile) for profile in profiles]
    eligible = Eligible(NUM_ITEMS, np.argsort(-scores[0])[:7])
    points = [points_of(shape, scores_I) for scores_I in scores]
    queries = [
        Query(profile, eligible, count, points_I)
        for profile, points_I in zip(profiles, points, strict=True)
    ]
    found = exact_of(large).best([*queries, Query(profiles[0], eligible, count)])
    for ranked, scores_I, points_I in zip(found, [*scores, scores[0]], [*points, 0], strict=True):
        check(ranked, scores_I + points_I, eligible, count)
    few = Eligible(NUM_ITEMS, np.array([0]), [np.arange(400)])  # routed without a bound
    (ranked,) = exact_of(large).best([Query(profiles[0], few, count, points[0])])
    check(ranked, scores[0] + points[0], few, count)


@pytest.mark.parametrize(
    ("shape", "directly"),
    [("few up", 100), ("many up", 100), ("many up", 7000), ("the best down", 100)],
)
def test_approximately(exact_of, scorer_of, profile_of, large, shape, directly, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "ROUTED_DIRECTLY", directly)
    index = FaissIndex.build(large.tensors["item_embeddings"], large.tensors["item_bias"])
    retriever = ApproximateRetriever(
        exact_of(large), index, scorer_of(large), large.tensors, Effort.of_share(1)
    )
    everything = Eligible(NUM_ITEMS, np.empty(0, dtype=np.intp))
    for user in range(4):
        profile = profile_of(large.tensors, user)
        scores_I = scorer_of(large).score(profile)
        query = Query(profile, everything, 20, points_of(shape, scores_I))
        found, right = retriever.best([query])[0], exact_of(large).best([query])[0]
        must = right.rows
        if shape.endswith("up"):  # the index finds the others
            must = np.intersect1d(must, np.flatnonzero(query.points_I > 0))
        assert len(must)
        assert np.isin(must, found.rows).all()
        assert found.scores == pytest.approx((scores_I + query.points_I)[found.rows], abs=2e-5)


def test_popular_items_are_ordered_by_the_logarithm_and_points() -> None:
    popularity_I = np.array([0, 9, 99, 99])
    points_I = np.array([0, 3, 0, 0.5], dtype=np.float32)
    found = most_popular_with_points(popularity_I, points_I, Eligible(4, np.array([2])), 9)
    assert found.rows.tolist() == [1, 3, 0]
    assert found.scores == pytest.approx([np.log(10) + 3, np.log(100) + 0.5, 0], abs=1e-5)
