"""What single items of a history add to scores, beside the definition in dense arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.runtime.artifact import ArtifactScorer
from model.runtime.evidence import Evidence, Tellers, evidence, named
from model.runtime.profile import Profile

ROWS_R = np.arange(0, 80, 7)
SHOWN = 8


@pytest.fixture(scope="module")
def scorer(artifact) -> ArtifactScorer:
    return ArtifactScorer.of(artifact)


def found_of(scorer: ArtifactScorer, profile: Profile, histories, newest=None) -> Evidence:
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    contribution_NG = breakdown.contribution_CKVM.sum(axis=1).reshape(SHOWN, -1)
    items_RVMD = scorer.tensors["item_embeddings"][ROWS_R]
    source = (profile, histories)
    return evidence(scorer.profiles, items_RVMD, source, ROWS_R, contribution_NG, newest)


def free_part_of(scorer: ArtifactScorer, user: int) -> np.ndarray:
    """The points that a user's free part adds to each shown item, by the definition."""
    profile, history_H = scorer.user(user), scorer.history(user)
    rows_HVMD = scorer.tensors["item_foldin"][history_H]
    folded_VMD = rows_HVMD.sum(axis=0) / np.linalg.norm(rows_HVMD, axis=-1).sum(axis=0)[..., None]
    free_VMD = profile.vector_VMD - folded_VMD
    item_NVMD = scorer.tensors["item_embeddings"][ROWS_R[:SHOWN]]
    length_VM = np.linalg.norm(profile.vector_VMD, axis=-1)
    cosine_NVM = np.einsum("nvmd,vmd->nvm", item_NVMD, profile.vector_VMD) / length_VM
    cosine_NVM[:, 0, 0] += profile.item_item.at(ROWS_R[:SHOWN])
    free_NVM = np.einsum("nvmd,vmd->nvm", item_NVMD, free_VMD) / length_VM
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    return (breakdown.contribution_CKVM.sum(axis=1) * free_NVM / cosine_NVM).sum(axis=(1, 2))


@pytest.mark.parametrize("user", range(0, 28, 3))
def test_parts_add_up_to_the_score_less_bias_and_free_part(scorer, user: int) -> None:
    profile = scorer.user(user)
    found = found_of(scorer, profile, [scorer.history(user)])
    score_N = scorer.scorer.score(profile, ROWS_R[:SHOWN]) - scorer.scorer.bias_I[ROWS_R[:SHOWN]]
    rest_N = score_N - free_part_of(scorer, user)
    np.testing.assert_allclose(found.points_RH[:SHOWN].sum(axis=1), rest_N, atol=1e-5)
    assert found.tellers.rows_H.tolist() == scorer.history(user).tolist()


def test_those_of_a_session_add_up_to_the_whole(scorer) -> None:
    session_H = np.array([3, 9, 40])
    profile = scorer.profiles.of_history(session_H)
    found = found_of(scorer, profile, [session_H])
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    whole_N = breakdown.contribution_CKVM.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.points_RH[:SHOWN].sum(axis=1), whole_N, atol=1e-5)


def test_two_histories_have_an_equal_say_and_an_item_in_both_speaks_once(scorer) -> None:
    one_H, other_H = np.array([3, 9, 40]), np.array([9, 77])
    profile = scorer.profiles.of_history(one_H).blended_with(scorer.profiles.of_history(other_H))
    found = found_of(scorer, profile, [one_H, other_H])
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    whole_N = breakdown.contribution_CKVM.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.points_RH[:SHOWN].sum(axis=1), whole_N, atol=1e-5)
    assert found.tellers.rows_H.tolist() == [3, 9, 40, 9, 77]
    assert not found.points_RH[:, 1].any()
    assert found.points_RH[:, 3].any()


def test_of_a_long_history_the_newest_speak_and_say_what_they_say_among_all(scorer) -> None:
    history_H = np.random.default_rng(0).permutation(80)[:30]
    profile = scorer.profiles.of_history(history_H)
    every, newest = (found_of(scorer, profile, [history_H], count) for count in (None, 10))
    assert newest.tellers.rows_H.tolist() == history_H[-10:].tolist()
    np.testing.assert_allclose(newest.points_RH, every.points_RH[:, -10:], atol=1e-6)


def test_by_channel_it_is_the_same(scorer) -> None:
    histories = [np.array([3, 9, 40]), np.array([9, 77])]
    one, other = (scorer.profiles.of_history(history_H) for history_H in histories)
    for profile, own in ((one, histories[:1]), (one.blended_with(other), histories)):
        found = found_of(scorer, profile, own)
        place_P, column_P = np.array([0, 2, 2, 7]), np.array([2, 0, 1, 2])
        part_PG = found.by_channel(place_P, column_P)
        points_P = found.points_RH[place_P, column_P]
        np.testing.assert_allclose(part_PG.sum(axis=1), points_P, atol=1e-6)


def test_items_beside_the_list_count_what_similarities_of_the_list_do(scorer) -> None:
    profile = scorer.user(4)
    found = found_of(scorer, profile, [scorer.history(4)])
    breakdown = scorer.scorer.explain(profile, ROWS_R)
    whole = evidence(
        scorer.profiles,
        scorer.tensors["item_embeddings"][ROWS_R],
        (profile, [scorer.history(4)]),
        ROWS_R,
        breakdown.contribution_CKVM.sum(axis=1).reshape(len(ROWS_R), -1),
    )
    np.testing.assert_allclose(found.points_RH[:SHOWN], whole.points_RH[:SHOWN], atol=1e-6)
    estimated, exact = found.points_RH[SHOWN:].ravel(), whole.points_RH[SHOWN:].ravel()
    assert np.corrcoef(estimated, exact)[0, 1] > 0.8


def said(points_RH) -> Evidence:
    """Evidence of points alone; item h of the history has row 100 + h."""
    points_RH = np.array(points_RH, dtype=np.float32)
    size = points_RH.shape[1]
    nothing_HGD = np.zeros((size, 1, 1), dtype=np.float32)
    tellers = Tellers(
        rows_H=np.arange(100, 100 + size),
        foldin_HGD=nothing_HGD,
        share_H=np.ones(size, dtype=np.float32),
        inverse_G=np.ones(1, dtype=np.float32),
        item_item_RH=points_RH,
    )
    return Evidence(
        tellers=tellers,
        points_RH=points_RH,
        item_item_RH=points_RH,
        scaled_RGD=np.zeros((len(points_RH), 1, 1), dtype=np.float32),
    )


def test_who_says_the_same_of_every_item_is_not_named_first() -> None:
    found = said([[3.0, 0.5, 0.1], [3.0, 0.1, 0.5], [3.1, 0.1, 0.1], [2.9, 0.1, 0.1]])
    chosen = named(found, np.arange(4), 3)
    assert chosen.column_NX[:, 0].tolist() == [1, 2, 0]
    assert chosen.share_NX[0].sum() == pytest.approx(1)
    assert chosen.share_NX[0, 0] == pytest.approx(0.5 / 3.6)
    assert chosen.above_NX[0, 0] > chosen.above_NX[0, 1]


def test_who_hardly_says_anything_is_not_named_for_a_little_more() -> None:
    found = said([[1.0, 0.011], [0.6, 0.010], [0.6, 0.010], [0.6, 0.010]])
    assert named(found, np.arange(4), 1).column_NX[0].tolist() == [0, 1]


def test_of_one_item_alone_points_decide() -> None:
    chosen = named(said([[0.2, 0.7, -0.1, 0.5]]), np.arange(1), 1)
    assert chosen.column_NX.tolist() == [[1, 3, 0]]
    assert chosen.share_NX[0] == pytest.approx([0.5, 0.5 / 1.4, 0.2 / 1.4])


def test_nobody_is_named_for_itself_or_against() -> None:
    chosen = named(said([[0.2, 0.7], [-0.1, 0.4]]), np.array([101, 5]), 2)
    assert chosen.share_NX[0] == pytest.approx([1, 0])
    assert chosen.column_NX[0, 0] == 0
    assert chosen.share_NX[1] == pytest.approx([1, 0])
    assert chosen.column_NX[1, 0] == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 60))
def test_shares_are_of_what_speaks_for_the_item(seed: int, num_items: int, size: int) -> None:
    points_RH = np.random.default_rng(seed).normal(size=(num_items, size)).astype(np.float32)
    chosen = named(said(points_RH), np.arange(num_items), num_items)
    total_N1 = np.maximum(points_RH, 0).sum(axis=1, keepdims=True)
    point_NX = np.take_along_axis(points_RH, chosen.column_NX, axis=1)
    share_NX = np.maximum(point_NX, 0) / np.maximum(total_N1, 1e-30)
    np.testing.assert_allclose(chosen.share_NX, share_NX, atol=1e-6)
    assert (chosen.above_NX[:, :-1] >= chosen.above_NX[:, 1:]).all()
