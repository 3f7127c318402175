"""What single items of a history add to scores, beside the definition in dense arrays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.runtime.artifact import ArtifactScorer
from model.runtime.evidence import LEAST_SHARE, Evidence, ListedItems, evidence, named
from model.runtime.profile import Profile, ProfileMaker, row_lengths

ROWS_R = np.arange(0, 80, 7)
SHOWN = 8


@pytest.fixture(scope="module")
def scorer(artifact) -> ArtifactScorer:
    return ArtifactScorer.of(artifact)


def found_of(scorer: ArtifactScorer, profile: Profile, histories, newest=None) -> Evidence:
    return found_of_all(scorer, [ListedItems(ROWS_R, profile, histories)], newest)


def found_of_all(scorer: ArtifactScorer, lists: list[ListedItems], newest=None) -> Evidence:
    contribution_BNG = [
        scorer.scorer.explain(each.profile, each.rows_R[:SHOWN])
        .contribution_CKVM.sum(axis=1)
        .reshape(SHOWN, -1)
        for each in lists
    ]
    items_IVMD = scorer.tensors["item_embeddings"]
    return evidence(scorer.profiles, items_IVMD, lists, np.array(contribution_BNG), newest)


def points_by_definition(scorer: ArtifactScorer, listed: ListedItems) -> np.ndarray:
    """What each item of one history, all of equal weight, adds to the shown items [N, H]."""
    (history_H,), profile = listed.histories, listed.profile
    foldin_HVMD = scorer.tensors["item_foldin"][history_H].astype(np.float64)
    total_VM = np.linalg.norm(foldin_HVMD, axis=-1).sum(axis=0)
    length_VM = np.linalg.norm(profile.vector_VMD, axis=-1)
    said_HI = dense_item_item(scorer)[history_H]
    said_HI *= scorer.profiles.item_item.deviation / said_HI.sum(axis=0).std()
    item_NVMD = scorer.tensors["item_embeddings"][listed.rows_R[:SHOWN]].astype(np.float64)
    cosine_NVM = (item_NVMD * profile.vector_VMD).sum(axis=-1) / length_VM
    cosine_NVM[:, 0, 0] += said_HI.sum(axis=0)[listed.rows_R[:SHOWN]]
    part_NHVM = np.einsum("nvmd,hvmd->nhvm", item_NVMD, foldin_HVMD) / total_VM / length_VM
    part_NHVM[:, :, 0, 0] += said_HI[:, listed.rows_R[:SHOWN]].T
    breakdown = scorer.scorer.explain(profile, listed.rows_R[:SHOWN])
    scale_NVM = breakdown.contribution_CKVM.sum(axis=1) / cosine_NVM
    return (scale_NVM[:, None] * part_NHVM).sum(axis=(2, 3))


def dense_item_item(scorer: ArtifactScorer) -> np.ndarray:
    model = scorer.profiles.item_item
    weight_II = np.zeros((len(model.offsets) - 1,) * 2)
    weight_II[np.repeat(np.arange(len(weight_II)), np.diff(model.offsets)), model.items] = (
        model.weights
    )
    return weight_II


@pytest.mark.parametrize("user", range(0, 28, 3))
def test_points_are_those_of_the_definition(scorer, user: int) -> None:
    listed = ListedItems(ROWS_R, scorer.user(user), [scorer.history(user)])
    points_BRH = found_of_all(scorer, [listed]).points_BRH
    size = len(scorer.history(user))
    expected_NH = points_by_definition(scorer, listed)
    np.testing.assert_allclose(points_BRH[0, :SHOWN, :size], expected_NH, atol=1e-5)
    assert not points_BRH[0, :, size:].any()


def test_lists_of_different_users_have_no_influence_on_each_other(scorer) -> None:
    session_H = np.array([3, 9, 40])
    session = scorer.profiles.of_history(session_H)
    lists = [
        ListedItems(ROWS_R + user, scorer.user(user), [scorer.history(user)]) for user in (0, 2)
    ]
    both = scorer.user(2).blended_with(session)
    for several in (lists, [*lists, ListedItems(ROWS_R, both, [scorer.history(2), session_H])]):
        together = found_of_all(scorer, several)
        chosen = named(together, SHOWN)
        for place, listed in enumerate(several):
            alone = found_of_all(scorer, [listed])
            size = alone.points_BRH.shape[2]
            points_RH = together.points_BRH[place]
            np.testing.assert_allclose(points_RH[:, :size], alone.points_BRH[0], atol=1e-6)
            assert not points_RH[:, size:].any()
            own = named(alone, SHOWN)
            np.testing.assert_allclose(chosen.share_BNX[place], own.share_BNX[0], atol=1e-5)
            is_named_NX = own.share_BNX[0] > 0
            np.testing.assert_array_equal(
                together.rows_BH[place][chosen.column_BNX[place]][is_named_NX],
                alone.rows_BH[0][own.column_BNX[0]][is_named_NX],
            )


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
    np.testing.assert_allclose(found.points_BRH[0, :SHOWN].sum(axis=1), rest_N, atol=1e-5)


def test_those_of_a_session_add_up_to_the_whole(scorer) -> None:
    session_H = np.array([3, 9, 40])
    profile = scorer.profiles.of_history(session_H)
    found = found_of(scorer, profile, [session_H])
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    whole_N = breakdown.contribution_CKVM.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.points_BRH[0, :SHOWN].sum(axis=1), whole_N, atol=1e-5)


def test_a_history_whose_items_have_no_vectors_of_a_modality_speaks_by_the_others(scorer) -> None:
    session_H = np.array([3, 9, 40])
    bare = without_text(scorer.profiles, session_H)
    profile = bare.of_history(session_H)
    contribution_CKVM = scorer.scorer.explain(profile, ROWS_R).contribution_CKVM
    whole_N = contribution_CKVM.sum(axis=(1, 2, 3))
    listed = ListedItems(ROWS_R, profile, [session_H])
    contribution_1NG = contribution_CKVM.sum(axis=1).reshape(1, len(ROWS_R), -1)
    found = evidence(bare, scorer.tensors["item_embeddings"], [listed], contribution_1NG)
    np.testing.assert_allclose(found.points_BRH[0].sum(axis=1), whole_N, atol=1e-5)


def without_text(maker: ProfileMaker, rows_H: np.ndarray) -> ProfileMaker:
    """As if these items had no vector of the second modality."""
    foldin_IVMD = maker.foldin_IVMD.copy()
    foldin_IVMD[rows_H, :, 1] = 0
    return replace(maker, foldin_IVMD=foldin_IVMD, length_IG=row_lengths(foldin_IVMD))


def test_two_histories_have_an_equal_say_and_an_item_in_both_speaks_once(scorer) -> None:
    one_H, other_H = np.array([3, 9, 40]), np.array([9, 77])
    one, other = scorer.profiles.of_history(one_H), scorer.profiles.of_history(other_H)
    profile = one.blended_with(other)
    found = found_of(scorer, profile, [one_H, other_H])
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    whole_N = breakdown.contribution_CKVM.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.points_BRH[0, :SHOWN].sum(axis=1), whole_N, atol=1e-5)
    assert found.rows_BH.tolist() == [[3, 9, 40, 77]]


def test_a_history_without_items_says_nothing_beside_another(scorer) -> None:
    nothing_H, session_H = np.empty(0, dtype=np.intp), np.array([3, 9, 40])
    session = scorer.profiles.of_history(session_H)
    profile = scorer.profiles.of_history(nothing_H).blended_with(session)
    found = found_of(scorer, profile, [nothing_H, session_H])
    assert found.rows_BH.tolist() == [session_H.tolist()]
    breakdown = scorer.scorer.explain(profile, ROWS_R[:SHOWN])
    whole_N = breakdown.contribution_CKVM.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.points_BRH[0, :SHOWN].sum(axis=1), whole_N, atol=1e-5)


def test_of_a_long_history_the_newest_speak_and_say_what_they_say_among_all(scorer) -> None:
    history_H = np.random.default_rng(0).permutation(80)[:30]
    profile = scorer.profiles.of_history(history_H)
    every, newest = (found_of(scorer, profile, [history_H], count) for count in (None, 10))
    assert newest.rows_BH.tolist() == [history_H[-10:].tolist()]
    np.testing.assert_allclose(newest.points_BRH, every.points_BRH[..., -10:], atol=1e-6)


def test_by_channel_it_is_the_same(scorer) -> None:
    histories = [np.array([3, 9, 40]), np.array([9, 77])]
    one, other = (scorer.profiles.of_history(history_H) for history_H in histories)
    for profile, own in ((one, histories[:1]), (one.blended_with(other), histories)):
        found = found_of(scorer, profile, own)
        pairs = np.zeros(4, dtype=int), np.array([0, 2, 2, 7]), np.array([2, 0, 1, 2])
        part_PG = found.by_channel(*pairs)
        np.testing.assert_allclose(part_PG.sum(axis=1), found.points_BRH[pairs], atol=1e-6)


def test_items_beside_the_list_count_what_similarities_of_the_list_do(scorer) -> None:
    profile = scorer.user(4)
    found = found_of(scorer, profile, [scorer.history(4)])
    breakdown = scorer.scorer.explain(profile, ROWS_R)
    whole = evidence(
        scorer.profiles,
        scorer.tensors["item_embeddings"],
        [ListedItems(ROWS_R, profile, [scorer.history(4)])],
        breakdown.contribution_CKVM.sum(axis=1).reshape(1, len(ROWS_R), -1),
    )
    np.testing.assert_allclose(found.points_BRH[:, :SHOWN], whole.points_BRH[:, :SHOWN], atol=1e-6)
    estimated, exact = (x.points_BRH[0, SHOWN:].ravel() for x in (found, whole))
    assert np.corrcoef(estimated, exact)[0, 1] > 0.8


def said(points_RH, rows_R=None) -> Evidence:
    """Evidence of points alone; item h of the history has row 100 + h."""
    points_BRH = np.array([points_RH], dtype=np.float32)
    _, num_items, size = points_BRH.shape
    return Evidence(
        rows_BR=np.array([np.arange(num_items) if rows_R is None else rows_R]),
        rows_BH=np.arange(100, 100 + size)[None],
        points_BRH=points_BRH,
        item_item_BRH=points_BRH,
        scaled_BRGD=np.zeros((1, num_items, 1, 1), dtype=np.float32),
        foldin_BHGD=np.zeros((1, size, 1, 1), dtype=np.float32),
        share_BH=np.ones((1, size), dtype=np.float32),
    )


def test_who_says_the_same_of_every_item_is_not_named_first() -> None:
    found = said([[3.0, 0.5, 0.2], [3.0, 0.2, 0.5], [3.1, 0.2, 0.2], [2.9, 0.2, 0.2]])
    chosen = named(found, 3)
    assert chosen.column_BNX[0, :, 0].tolist() == [1, 2, 0]
    assert chosen.share_BNX[0, 0] == pytest.approx([0.5 / 3.7, 0, 0])


def test_who_hardly_says_anything_is_not_named_for_a_little_more() -> None:
    found = said([[1.0, 0.101, 0.0], [0.6, 0.1, 0.0], [0.6, 0.1, 0.0], [0.6, 0.1, 0.0]])
    chosen = named(found, 1)
    assert chosen.column_BNX[0, 0, :2].tolist() == [0, 1]
    assert chosen.share_BNX[0, 0] == pytest.approx([1 / 1.101, 0.101 / 1.101, 0])


def test_who_adds_hardly_anything_to_an_item_is_not_named() -> None:
    """Though it says more for it than for others: 2 % of what speaks for it is no reason."""
    found = said([[1.0, 0.02, 0.3], [1.0, 0.0, 0.1], [1.0, 0.0, 0.1]])
    chosen = named(found, 1)
    assert chosen.column_BNX[0, 0, 0] == 2
    assert chosen.share_BNX[0, 0] == pytest.approx([0.3 / 1.32, 0, 0])
    many = np.full((2, 50), 0.02)
    assert not named(said(many), 2).share_BNX.any()


def test_of_one_item_alone_points_decide() -> None:
    chosen = named(said([[0.2, 0.7, -0.1, 0.5]]), 1)
    assert chosen.column_BNX.tolist() == [[[1, 3, 0]]]
    assert chosen.share_BNX[0, 0] == pytest.approx([0.5, 0.5 / 1.4, 0.2 / 1.4])


def test_nobody_is_named_for_itself_or_against() -> None:
    found = said([[0.2, 0.7, -0.3], [-0.1, 0.4, -0.2]], rows_R=[101, 5])
    chosen = named(found, 2)
    assert chosen.share_BNX[0] == pytest.approx(np.array([[1, 0, 0], [1, 0, 0]]))
    assert chosen.column_BNX[0, :, 0].tolist() == [0, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(3, 60))
def test_shares_are_of_what_speaks_for_the_item(seed: int, num_items: int, size: int) -> None:
    points_RH = np.random.default_rng(seed).normal(size=(num_items, size)).astype(np.float32)
    chosen = named(said(points_RH), num_items)
    share_NX = chosen.share_BNX[0]
    speaking_NH = np.maximum(points_RH, 0)
    share_NH = speaking_NH / np.maximum(speaking_NH.sum(axis=1, keepdims=True), 1e-30)
    expected_NX = np.take_along_axis(share_NH, chosen.column_BNX[0], axis=1)
    named_NX = share_NX > 0
    np.testing.assert_allclose(share_NX[named_NX], expected_NX[named_NX], atol=1e-6)
    assert (share_NX[named_NX] >= LEAST_SHARE - 1e-6).all()
    assert (named_NX[:, :1] >= named_NX[:, 1:]).all()
    assert (named_NX[:, 0] == (share_NH >= LEAST_SHARE).any(axis=1)).all()
