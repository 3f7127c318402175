import numpy as np
import pytest

from model.runtime.artifact import ArtifactScorer, GoldenMismatch, check_golden


def test_profiles_and_scores_are_those_of_the_definition(artifact, reference, profile_of) -> None:
    scorer, everything = ArtifactScorer.of(artifact), np.arange(80)
    users = [0, 3, 29]  # the last one has no usable history
    scores_BI = scorer.scorer.score_all([scorer.user(user) for user in users])
    for user, score_I in zip(users, scores_BI, strict=True):
        expected, _, _ = reference(artifact.tensors, profile_of(artifact.tensors, user), everything)
        assert score_I == pytest.approx(expected, abs=1e-5)


def test_a_history_makes_the_profile_of_the_user_who_has_it_but_for_their_free_part(
    artifact,
) -> None:
    scorer = ArtifactScorer.of(artifact)
    user = scorer.user(3)
    again = scorer.profiles.of_history(scorer.history(3))
    free_VMD = user.vector_VMD - again.vector_VMD
    assert free_VMD[:, 1:] == pytest.approx(0, abs=1e-6)
    assert free_VMD[0, 0] == pytest.approx(free_VMD[1, 0], abs=1e-6)
    assert np.linalg.norm(free_VMD[0, 0]) > 0.1
    rows = np.arange(80)
    assert again.item_item.at(rows) == pytest.approx(user.item_item.at(rows))


def test_lists_leave_out_what_is_excluded(artifact) -> None:
    scorer = ArtifactScorer.of(artifact)
    profiles = [scorer.user(user) for user in (0, 3)]
    top_BK = scorer.top(profiles, 10, [scorer.seen(0), np.array([7])])
    for profile, excluded, top_K in zip(profiles, [scorer.seen(0), [7]], top_BK, strict=True):
        score_I = scorer.scorer.score(profile)
        score_I[excluded] = -np.inf
        assert top_K.tolist() == np.argsort(-score_I, kind="stable")[:10].tolist()


def test_other_scores_than_at_export_are_refused(artifact) -> None:
    scorer, golden = ArtifactScorer.of(artifact), artifact.manifest.golden
    profiles = [scorer.user(row) for row in golden.user_rows]
    check_golden(golden, scorer.scorer, profiles)
    with pytest.raises(GoldenMismatch, match="golden user 0: the score differs"):
        check_golden(golden, scorer.scorer, profiles[::-1])
