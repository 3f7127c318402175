"""Reasons on planted data: who is named is of the item's cluster; and the words for content."""

import numpy as np
import pytest

from deploy.benchmarks.serving.grown import _clusters, grown_artifact
from model.artifact.files import Artifact
from model.runtime.artifact import ArtifactScorer
from model.runtime.evidence import ListedItems, evidence, named
from service.recommend.because import COMPARED, _alike, _and

ITEMS, USERS, SEED = 2_000, 48, 0


@pytest.fixture(scope="module")
def grown() -> Artifact:
    return grown_artifact(ITEMS, USERS, SEED)


def test_who_is_named_is_of_the_items_cluster(grown: Artifact) -> None:
    """Users have chosen from some clusters; an item of these is explained by its own.

    A planted entry of the item-item model, which reaches beyond a cluster, is as good.
    """
    cluster_I = _clusters(ITEMS, np.random.default_rng(SEED))
    scorer = ArtifactScorer.of(grown)
    right, led, by_chance = [], [], []
    for user in range(USERS):
        profile, history_H = scorer.user(user), scorer.history(user)
        (rows_R,) = scorer.top([profile], COMPARED, [scorer.seen(user)])
        contribution_RKVM = scorer.scorer.explain(profile, rows_R).contribution_CKVM
        found = evidence(
            scorer.profiles,
            grown.tensors["item_embeddings"],
            [ListedItems(rows_R, profile, [history_H])],
            contribution_RKVM.sum(axis=1).reshape(1, COMPARED, -1),
        )
        chosen = named(found, COMPARED)
        column_R = chosen.column_BNX[0, :, 0]
        planted_RH = cluster_I[rows_R][:, None] == cluster_I[history_H]
        known_R = planted_RH.any(axis=1) & (chosen.share_BNX[0, :, 0] > 0)
        planted_RH |= found.item_item_BRH[0] > 0
        right += planted_RH[np.arange(COMPARED), column_R][known_R].tolist()
        by_chance += planted_RH[known_R].mean(axis=1).tolist()
        led.append(np.bincount(column_R).max() / COMPARED)
    assert len(right) > 0.5 * USERS * COMPARED
    assert np.mean(by_chance) < 0.5
    assert np.mean(right) >= 0.95
    assert np.mean(led) <= 0.25


@pytest.mark.parametrize(
    ("part_M", "words"),
    [
        ([5.0, 3.0, 1.0, 4.0], ["looks", "description"]),
        ([0.0, 3.0, 1.0, 0.0], ["description", "genre"]),
        ([9.0, 1.0, 1.0, 0.0], []),
        ([-1.0, 0.0, 0.0, 2.0], ["looks"]),
        ([-1.0, -1.0, -1.0, -1.0], []),
    ],
)
def test_content_is_called_what_shoppers_call_it(part_M: list[float], words: list[str]) -> None:
    names = ["behaviour", "text", "genre", "image"]
    assert _alike(names, np.array(part_M, dtype=np.float32)) == words


def test_a_name_that_shoppers_do_not_know_is_left_out() -> None:
    names = ["behaviour", "knowledge", "Visual", "picture"]
    assert _alike(names, np.array([0, 4, 3, 2], dtype=np.float32)) == ["looks"]


def test_words_are_joined() -> None:
    assert _and(["a"]) == "a"
    assert _and(["a", "b"]) == "a and b"
    assert _and(["a", "b", "c"]) == "a, b and c"
