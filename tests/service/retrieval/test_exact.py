import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.item_item import NO_SCORES, SparseScores
from model.runtime.native import kernels
from model.runtime.profile import Profile
from model.runtime.top_k import top_places
from service.retrieval import exact
from service.retrieval.query import Eligible, Query


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def retriever(request, exact_of, large):
    if request.param == "compiled":
        if kernels.kernels() is None:
            pytest.skip("not compiled: python -m model.runtime.native.build")
        yield exact_of(large)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_loaded", lambda: None)
        yield exact_of(large)


@pytest.fixture(scope="module")
def users(profile_of, large):
    """The one in the middle has item-item scores that outdo all else, the next one none."""
    profiles = [profile_of(large.tensors, user) for user in range(29)]
    profiles[14] = Profile(profiles[14].vector_VMD, loud(profiles[14].item_item))
    profiles[15] = profiles[15].by_vector_alone()
    return profiles


def loud(scores: SparseScores) -> SparseScores:
    return SparseScores(scores.rows_N, scores.values_N * 100)


@pytest.fixture(scope="module")
def all_scores(scorer_of, large, users):
    scorer = scorer_of(large)
    return [scorer.score(profile) for profile in users]


def check(found, scores_I, eligible_rows, count) -> None:
    """What is found is `want`, or has its scores: sums of other blocks differ in the last bit."""
    want = eligible_rows[top_places(scores_I[eligible_rows], 0, count)]
    assert len(set(found.rows.tolist())) == len(want)
    assert np.isin(found.rows, eligible_rows).all()
    assert scores_I[found.rows] == pytest.approx(scores_I[want], rel=1e-6, abs=1e-6)
    assert found.scores == pytest.approx(scores_I[want], rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("count", [1, 20, 400])
def test_it_finds_what_routing_every_item_finds(retriever, users, all_scores, nothing, count):
    eligible = Eligible(9000, nothing)
    found = retriever.best([Query(user, eligible, count) for user in users])
    for ranked, scores_I in zip(found, all_scores, strict=True):
        check(ranked, scores_I, np.arange(9000), count)


def test_most_of_the_catalogue_is_never_routed(retriever, users, nothing, monkeypatch) -> None:
    routed: list[int] = []
    score_pairs = retriever._scorer.score_pairs
    monkeypatch.setattr(
        retriever._scorer,
        "score_pairs",
        lambda users, rows: routed.extend(map(len, rows)) or score_pairs(users, rows),
    )
    retriever.best([Query(users[0], Eligible(9000, nothing), 20)])
    assert 20 <= sum(routed) < 9000 / 2


@pytest.mark.parametrize("shape", ["few out", "most out", "only many", "only few", "nothing left"])
def test_filters_hold_and_the_page_is_full(retriever, users, all_scores, nothing, shape) -> None:
    order = np.argsort(-all_scores[0])
    eligible = {
        "few out": Eligible(9000, order[:50]),
        "most out": Eligible(9000, order[:7000]),
        "only many": Eligible(9000, order[:30], [np.arange(0, 9000, 2), np.arange(5000)]),
        "only few": Eligible(9000, nothing, [order[4000:4030]]),
        "nothing left": Eligible(9000, nothing, [nothing]),
    }[shape]
    query = Query(users[0], eligible, 20)
    check(retriever.best([query])[0], all_scores[0], eligible.rows(), 20)


def test_a_batch_of_mixed_queries_is_answered_one_by_one(
    retriever, users, all_scores, nothing, monkeypatch
) -> None:
    monkeypatch.setattr(retriever, "most_users", 2)
    everything, few = Eligible(9000, nothing), Eligible(9000, nothing, [np.arange(10)])
    queries = [Query(users[u], few if u % 2 else everything, 5 + u) for u in range(7)]
    for user, (query, ranked) in enumerate(zip(queries, retriever.best(queries), strict=True)):
        check(ranked, all_scores[user], query.eligible.rows(), 5 + user)


def test_the_guess_of_a_threshold_may_be_bad_but_not_wrong(retriever, users, nothing) -> None:
    bound_BI = np.zeros((2, 9000), dtype=np.float32)
    bound_BI[0, :40] = np.arange(40)
    bound_BI[1, 100:] = -np.inf
    some, many = (
        Query(users[0], Eligible(9000, left_out), count)
        for left_out, count in ((np.array([7, 3]), 15), (nothing, 250))
    )
    found = exact._highest(bound_BI, [some, many], [0.0, 0.0])
    assert 15 <= len(found[0]) <= exact._MOST_TIMES * exact.FIRST_ROUTED
    assert not {3, 7} & {*found[0].tolist()}
    assert {*range(8, 40)} <= {*found[0].tolist()}
    assert found[1].tolist() == list(range(100))
    (rest, nobody) = exact._at_least(bound_BI, found, [1.0, np.inf])
    assert {*rest.tolist()} == {*range(1, 40)} - {*found[0].tolist(), 3, 7}
    assert not len(nobody)


def test_a_user_without_a_row_is_ranked_by_bias(retriever, large, nothing) -> None:
    nobody = Profile(np.zeros_like(large.tensors["user_embeddings"][0]), NO_SCORES)
    ranked = retriever.best([Query(nobody, Eligible(9000, nothing), 5)])[0]
    assert ranked.rows.tolist() == np.argsort(-large.tensors["item_bias"])[:5].tolist()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 1, 50]), st.integers(1, 4000))
def test_no_item_item_score_makes_it_miss_an_item(retriever, scorer_of, large, seed, scale, size):
    rng = np.random.default_rng(seed)
    vectors = large.tensors["user_embeddings"]
    profiles = []
    for user in rng.integers(0, 29, 3):
        rows_N = np.sort(rng.choice(9000, size, replace=False))
        values_N = (scale * rng.normal(rng.choice([-1, 0, 1]), 1, size)).astype(np.float32)
        profiles.append(Profile(vectors[user], SparseScores(rows_N, values_N)))
    count, everything = int(rng.choice([1, 20, 300])), Eligible(9000, np.empty(0, dtype=np.intp))
    together = retriever.best([Query(profile, everything, count) for profile in profiles])
    for profile, found in zip(profiles, together, strict=True):
        scores_I = scorer_of(large).score(profile)
        check(found, scores_I, np.arange(9000), count)
        check(
            retriever.best([Query(profile, everything, count)])[0], scores_I, np.arange(9000), count
        )
