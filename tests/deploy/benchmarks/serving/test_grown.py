"""A grown model against one trained on MovieLens-100K (1,682 items; figures taken from it)."""

import numpy as np
import pytest

from deploy.benchmarks.serving.grown import HISTORY, NEIGHBOURS, grown_artifact
from model.artifact.files import Artifact
from model.runtime.artifact import ArtifactScorer
from model.runtime.top_k import top_places

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grown() -> Artifact:
    return grown_artifact(1682, 60, seed=0)


def channels(grown: Artifact) -> np.ndarray:
    return grown.tensors["item_embeddings"]


def test_spread_and_neighbours_are_those_of_trained_items(grown: Artifact) -> None:
    items_IVMD = channels(grown)
    rows = np.arange(0, 1682, 2)
    for modality, (spread, nearest) in enumerate([(0.19, 0.60), (0.19, 0.72), (0.40, 0.93)]):
        rows_ID = items_IVMD[rows, 0, modality]
        cosine = rows_ID @ rows_ID.T
        assert cosine[np.triu_indices(len(rows), 1)].std() == pytest.approx(spread, abs=0.12)
        assert np.sort(cosine, axis=1)[:, -2].mean() == pytest.approx(nearest, abs=0.2)


def test_views_agree_and_modalities_do_not(grown: Artifact) -> None:
    items_IVMD = channels(grown)
    between_views_M = (items_IVMD[:, 0] * items_IVMD[:, 1]).sum(-1).mean(0)
    assert between_views_M == pytest.approx([0.80, 0.97, 0.99], abs=0.06)
    cosines = [items_IVMD[:800, 0, m] @ items_IVMD[:800, 0, m].T for m in range(3)]
    upper = np.triu_indices(800, 1)
    agreement = np.corrcoef([cosine[upper] for cosine in cosines])[np.triu_indices(3, 1)]
    assert (np.abs(agreement) < 0.25).all()  # trained: 0.04 to 0.15


def test_users_and_routing_are_like_trained_ones(grown: Artifact) -> None:
    tensors = grown.tensors
    length = np.linalg.norm(tensors["user_embeddings"], axis=-1).mean()
    assert length == pytest.approx(0.48, abs=0.15)
    assert tensors["item_bias"].std() == pytest.approx(1.2, abs=0.01)
    scorer = ArtifactScorer.of(grown)
    profiles = [scorer.user(user).by_vector_alone() for user in range(20)]
    found = scorer.scorer.explain_all(profiles, np.tile(np.arange(300), (20, 1)))
    weight_BCK = np.stack([each.weight_CK for each in found])
    entropy = -(weight_BCK * np.log(weight_BCK + 1e-12)).sum(-1).mean() / np.log(9)
    assert entropy == pytest.approx(0.22, abs=0.12)
    assert weight_BCK.std(axis=1).mean() > 0.05  # trained: 0.13 between the items of one user
    assert (weight_BCK.mean((0, 1)) > 0.01).sum() >= 5  # trained: 8 of 9


def test_neighbourhoods_are_of_both_signs_and_change_a_third_of_a_list(grown: Artifact) -> None:
    tensors = grown.tensors
    named_IN = tensors["neighbourhood_items"].reshape(1682, NEIGHBOURS)
    assert all(len(set(row)) == NEIGHBOURS for row in named_IN.tolist())
    assert not (named_IN == np.arange(1682)[:, None]).any()
    assert (tensors["neighbourhood_weights"] < 0).mean() == pytest.approx(0.1, abs=0.01)
    scorer = ArtifactScorer.of(grown)
    kept = []
    for user in range(20):
        profile = scorer.user(user)
        best, without = (
            top_places(scorer.scorer.score(each), 0, 20)
            for each in (profile, profile.by_vector_alone())
        )
        kept.append(np.isin(best, without).mean())
    assert np.mean(kept) == pytest.approx(0.65, abs=0.2)


def test_what_it_vouches_for_is_what_the_service_computes(grown: Artifact) -> None:
    golden, scorer = grown.manifest.golden, ArtifactScorer.of(grown)
    said = 0.0
    for user, scores in zip(golden.user_rows, golden.scores, strict=True):
        profile, rows = scorer.user(user), np.array(golden.item_rows)
        assert scorer.scorer.score(profile, rows) == pytest.approx(scores, abs=1e-4)
        said += abs(profile.item_item.at(rows)).sum()
    assert said > 0


def test_it_is_a_whole_artifact_and_the_same_each_time(grown: Artifact) -> None:
    again = grown_artifact(1682, 60, seed=0)
    assert again.manifest.tensors == grown.manifest.tensors
    other = grown_artifact(1682, 60, seed=1)
    assert other.manifest.tensors["item_bias"] != grown.manifest.tensors["item_bias"]
    seen_UH = grown.tensors["seen_items"].reshape(60, HISTORY)
    assert all(len(set(row)) == HISTORY for row in seen_UH.tolist())
