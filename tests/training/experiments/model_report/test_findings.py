"""Numbers of a portrait, on lists that are made up."""

import numpy as np
import pytest

from model.artifact.files import read_artifact
from training.experiments.model_report.findings import (
    ACTIVITY_GROUPS,
    POPULARITY_GROUPS,
    Findings,
    Lists,
    find,
    make_lists,
)


@pytest.fixture(scope="module")
def artifact(artifact_dir):
    return read_artifact(artifact_dir)


def shown(artifact, items_UL: np.ndarray, expert: int = 0) -> Findings:
    """What is found of lists in which one expert alone speaks."""
    weight_ULK = np.zeros((*items_UL.shape, len(artifact.manifest.experts)))
    weight_ULK[..., expert] = 1
    users_U = np.arange(len(items_UL))
    return find(artifact, Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK), seed=0)


def test_everybody_gets_the_same_item(artifact) -> None:
    best = int(artifact.tensors["item_popularity"].argmax())
    tail = shown(artifact, np.full((10, 1), best)).tail
    num_items = artifact.manifest.num_items
    assert tail.covered == pytest.approx(1 / num_items)
    assert tail.gini == pytest.approx(1 - 1 / num_items)
    assert tail.places_Q.tolist() == [1.0] + [0.0] * (POPULARITY_GROUPS - 1)


def test_every_item_is_shown_equally_often(artifact) -> None:
    num_items = artifact.manifest.num_items
    tail = shown(artifact, np.arange(num_items).reshape(-1, 2)).tail
    assert (tail.covered, tail.gini) == (1, pytest.approx(0))
    assert tail.places_Q == pytest.approx(np.full(POPULARITY_GROUPS, 1 / POPULARITY_GROUPS))
    assert tail.interactions_Q.sum() == pytest.approx(1)
    assert (np.diff(tail.interactions_Q) <= 0).all()


def test_a_group_has_the_mean_weight_of_its_places(artifact) -> None:
    by_user, by_item, by_category = shown(artifact, np.array([[0, 1], [2, 3]]), expert=1).maps
    for found in (by_user, by_item, by_category):
        assert found.places_Q.sum() == 4
        assert found.weight_QK[found.places_Q > 0, 1].tolist() == [1] * (found.places_Q > 0).sum()
        assert found.weight_QK.sum() == (found.places_Q > 0).sum()
    assert by_category.groups == ("Tea", "Wool")
    assert by_category.places_Q.tolist() == [2, 2]
    assert len(by_user.groups) == ACTIVITY_GROUPS


def test_items_of_one_taste_lie_together(artifact) -> None:
    found = shown(artifact, np.array([[0, 1]]))
    text = next(x for x in found.embeddings if x.modality == "text")
    tea_S2, wool_S2 = (text.point_S2[found.category_S == c] for c in (0, 1))
    apart = np.linalg.norm(tea_S2.mean(axis=0) - wool_S2.mean(axis=0))
    assert apart > 2 * max(tea_S2.std(), wool_S2.std())
    assert 0.5 < text.variance <= 1


def test_lists_are_those_that_are_served(artifact) -> None:
    progress: list[tuple[int, int]] = []
    lists = make_lists(artifact, 25, seed=0, on_users=lambda *done: progress.append(done))
    assert progress[-1] == (25, 25)
    assert lists.weight_ULK.sum(axis=2) == pytest.approx(np.ones(lists.items_UL.shape), abs=1e-5)
    offsets, seen = artifact.tensors["seen_offsets"], artifact.tensors["seen_items"]
    for user, items_L in zip(lists.users_U, lists.items_UL, strict=True):
        assert artifact.tensors["history_lengths"][user] > 0
        assert np.intersect1d(items_L, seen[offsets[user] : offsets[user + 1]]).size == 0
    again = make_lists(artifact, 25, seed=0, on_users=lambda *_: None)
    assert again.items_UL.tolist() == lists.items_UL.tolist()
