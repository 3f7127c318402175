"""Figures of a model report on lists that are made up."""

import numpy as np
import pytest

from model.artifact.files import read_artifact
from model.artifact.report import MOST_BYTES, REPORT, DrawnItem, ModelReport
from model.artifact.tables import IdTable
from model.runtime.artifact import ArtifactScorer
from training.export.report import (
    ACTIVITY_GROUPS,
    POPULARITY_GROUPS,
    Lists,
    as_file,
    find,
    make_lists,
    plane,
)


@pytest.fixture(scope="module")
def artifact(artifact_dir):
    return read_artifact(artifact_dir)


def found_of(artifact, lists: Lists) -> ModelReport:
    experts = [x.name for x in artifact.manifest.experts]
    return find(artifact.tensors, experts, artifact.manifest.modalities, lists, seed=0)


def shown(artifact, items_UL: np.ndarray, expert: int = 0) -> ModelReport:
    """What is found of lists in which one expert alone speaks."""
    weight_ULK = np.zeros((*items_UL.shape, len(artifact.manifest.experts)))
    weight_ULK[..., expert] = 1
    users_U = np.arange(len(items_UL))
    return found_of(artifact, Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK))


def test_everybody_gets_the_same_item(artifact) -> None:
    best = int(artifact.tensors["item_popularity"].argmax())
    tail = shown(artifact, np.full((10, 1), best)).tail
    num_items = artifact.manifest.num_items
    assert tail.covered == pytest.approx(1 / num_items, abs=1e-4)
    assert tail.gini == pytest.approx(1 - 1 / num_items, abs=1e-4)
    assert tail.places == [1.0] + [0.0] * (POPULARITY_GROUPS - 1)


def test_every_item_is_shown_equally_often(artifact) -> None:
    num_items = artifact.manifest.num_items
    tail = shown(artifact, np.arange(num_items).reshape(-1, 2)).tail
    assert (tail.covered, tail.gini) == (1, pytest.approx(0))
    assert tail.places == pytest.approx([1 / POPULARITY_GROUPS] * POPULARITY_GROUPS)
    assert sum(tail.interactions) == pytest.approx(1, abs=1e-3)
    assert tail.interactions == sorted(tail.interactions, reverse=True)


def test_a_group_has_the_mean_weight_of_its_places(artifact) -> None:
    by_user, by_item, by_category = shown(artifact, np.array([[0, 1], [2, 3]]), expert=1).maps
    for found in (by_user, by_item, by_category):
        assert sum(found.places) == 4
        for places, weight_K in zip(found.places, found.weight, strict=True):
            assert weight_K[1] == sum(weight_K) == (places > 0)
    assert by_category.groups == ["Tea", "Wool"]
    assert by_category.places == [2, 2]
    assert len(by_user.groups) == ACTIVITY_GROUPS


def test_an_expert_that_serves_nobody_is_idle(artifact) -> None:
    experts = shown(artifact, np.array([[0, 1], [2, 3]]), expert=1).experts
    count = len(artifact.manifest.experts)
    assert [x.idle for x in experts] == [k != 1 for k in range(count)]
    assert (experts[1].leads, experts[1].share) == (1, count)
    assert [peak.share for peak in experts[1].most] == [count] * 3


def test_an_expert_leads_where_its_share_is_largest(artifact) -> None:
    items_UL = np.array([[0, 2], [1, 3]])  # the first user is shown Tea, the other one Wool
    weight_ULK = np.full((2, 2, len(artifact.manifest.experts)), 0.05)
    weight_ULK[0, :, 0], weight_ULK[1, :, 0] = 0.02, 0.08
    lists = Lists(users_U=np.arange(2), items_UL=items_UL, weight_ULK=weight_ULK)
    first = found_of(artifact, lists).experts[0]
    even = 1 / len(artifact.manifest.experts)
    assert (first.most[2].group, first.most[2].share) == ("Wool", pytest.approx(0.08 / even))
    assert first.share == pytest.approx(0.05 / even)
    assert first.leads == 0.5
    assert not first.idle


def test_items_of_one_taste_lie_together(artifact) -> None:
    found = shown(artifact, np.array([[0, 1]]))
    text = next(x for x in found.item_maps if x.modality == "text")
    category_S = np.array([item.category for item in found.items])
    point_S2 = np.stack([text.x, text.y], axis=1)
    tea_S2, wool_S2 = (point_S2[category_S == c] for c in (0, 1))
    apart = np.linalg.norm(tea_S2.mean(axis=0) - wool_S2.mean(axis=0))
    assert apart > 2 * max(tea_S2.std(), wool_S2.std())
    assert 0.5 < text.variance <= 1


def test_lists_are_those_that_are_served(artifact) -> None:
    progress: list[tuple[int, int]] = []
    scorer = ArtifactScorer.of(artifact)
    lists = make_lists(scorer, 25, seed=0, on_users=lambda *done: progress.append(done))
    assert progress[-1] == (25, 25)
    assert lists.weight_ULK.sum(axis=2) == pytest.approx(np.ones(lists.items_UL.shape), abs=1e-5)
    offsets, seen = artifact.tensors["seen_offsets"], artifact.tensors["seen_items"]
    for user, items_L in zip(lists.users_U, lists.items_UL, strict=True):
        assert artifact.tensors["history_lengths"][user] > 0
        assert np.intersect1d(items_L, seen[offsets[user] : offsets[user + 1]]).size == 0
    again = make_lists(scorer, 25, seed=0)
    assert again.items_UL.tolist() == lists.items_UL.tolist()


def test_an_export_has_its_report(artifact) -> None:
    tensors, data = artifact.tensors, artifact.files[REPORT]
    found = ModelReport.model_validate_json(data)
    ids = IdTable(tensors["item_ids_blob"], tensors["item_ids_offsets"])
    assert sorted(item.item_id for item in found.items) == list(ids)
    assert all(item.title != item.item_id for item in found.items)
    assert [x.expert for x in found.experts] == [x.name for x in artifact.manifest.experts]
    assert found.users == (tensors["history_lengths"] > 0).sum()


def test_long_ids_cost_items_and_not_the_bound(artifact) -> None:
    found = shown(artifact, np.array([[0, 1]]))
    many = 1000
    items = [DrawnItem(item_id="x" * 256, title="y" * 80, category=0)] * many
    points = {"x": [0.125] * many, "y": [0.5] * many}
    maps = [each.model_copy(update=points) for each in found.item_maps]
    data = as_file(found.model_copy(update={"items": items, "item_maps": maps}))
    kept = ModelReport.model_validate_json(data)
    assert MOST_BYTES / 3 < len(data) <= MOST_BYTES
    assert {len(kept.items), *(len(each.y) for each in kept.item_maps)} == {500}


def test_a_single_item_lies_in_the_middle() -> None:
    found = plane("text", np.ones((1, 4), dtype=np.float32))
    assert (found.x, found.y, found.variance) == ([0], [0], 0)
