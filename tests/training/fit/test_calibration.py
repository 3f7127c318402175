"""What validation settles, on models that nobody has trained: they start where data lead them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.evaluate.protocol import evaluate
from training.fit.calibration import (
    COLD_OFFSETS,
    CONTENT_WEIGHTS,
    ITEM_ITEM_DEVIATIONS,
    POPULARITY_WEIGHTS,
    Fusion,
    HeldOut,
)
from training.fit.config import TrainingConfig
from training.fit.item_item import item_item_weights
from training.fit.trained_model import TrainedModel, build_magnet

SMALL = TrainingConfig(embedding_dim=8)
GROUPS, USERS, ITEMS = 6, 300, 120


@pytest.fixture(scope="module")
def sparse(make_dataset) -> Dataset:
    """Users who have chosen few of their group's items; two fifths of the choices are held out."""
    rng = np.random.default_rng(0)
    likes_UI = np.arange(USERS)[:, None] % GROUPS == np.arange(ITEMS) % GROUPS
    likes_UI &= rng.random(likes_UI.shape) < 0.3
    part_UI = rng.choice(3, size=likes_UI.shape, p=[0.6, 0.2, 0.2])
    return make_dataset(*(likes_UI & (part_UI == part) for part in range(3)))


def with_content(dataset: Dataset, *names: str) -> Dataset:
    """Noise, or features that tell each item's group."""
    rng = np.random.default_rng(0)
    telling_IF = np.eye(GROUPS)[np.arange(ITEMS) % GROUPS] + rng.normal(scale=0.2, size=(ITEMS, 6))
    features = {"noise": rng.normal(size=(ITEMS, 12)), "text": telling_IF}
    return replace(
        dataset,
        features={
            name: ModalityFeatures(
                x_IF=features[name].astype(np.float32), present_I=np.ones(ITEMS, bool)
            )
            for name in names
        },
    )


def untrained(dataset: Dataset) -> TrainedModel:
    magnet = build_magnet(dataset, SMALL, torch.Generator().manual_seed(0)).eval()
    return TrainedModel.of(magnet, dataset, 0.0)


def fuse(model: TrainedModel, dataset: Dataset, target: csr_array | None = None) -> Fusion:
    target = dataset.valid if target is None else target
    return HeldOut(model, dataset, target).fuse(model.magnet)


def ndcg(
    model: TrainedModel, fusion: Fusion, dataset: Dataset, target: csr_array | None = None
) -> float:
    fusion.settle(model.magnet)
    target = dataset.valid if target is None else target
    found = evaluate(model.score, dataset, target).metrics["ndcg@20"]
    model.magnet.head.reliability_M.fill_(1)
    return found


def with_item_item(model: TrainedModel, item_item_II: csr_array) -> TrainedModel:
    return replace(model, item_item_II=csr_array(item_item_II, dtype=np.float32))


def test_what_is_reached_on_pools_is_what_the_settled_model_reaches(new_items: Dataset) -> None:
    model = with_item_item(untrained(new_items), item_item_weights(new_items.train_histories))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.magnet.head.parameters():
        parameter.data.normal_(std=0.5, generator=generator)
    model.magnet.user_behaviour_UD.data.normal_(std=0.1, generator=generator)
    fusion = Fusion(popularity=0.05, item_item=0.08, content={"text": 0.4}, cold=0.5)
    found = HeldOut(model, new_items, new_items.valid).routed(model.magnet)
    expected = ndcg(model, fusion, new_items)
    assert found.ndcg20(fusion.weights()) == pytest.approx(expected, abs=1e-6)
    fused = fuse(model, new_items)
    assert fused.ndcg20 == pytest.approx(ndcg(model, fused, new_items), abs=1e-6)


def test_a_settled_model_tells_its_fusion(new_items: Dataset) -> None:
    magnet = untrained(new_items).magnet
    fusion = Fusion(popularity=0.05, item_item=0.08, content={"text": 0.4}, cold=0.5)
    fusion.settle(magnet)
    again = Fusion.of(magnet)
    assert again.weights() == pytest.approx(fusion.weights())
    assert magnet.head.reliability_M.tolist() == pytest.approx([2, 0.8])


def test_without_their_free_parts_users_are_their_histories(communities: Dataset) -> None:
    model = untrained(communities)
    plain = fuse(model, communities)
    model.magnet.user_behaviour_UD.data.normal_(generator=torch.Generator().manual_seed(0))
    without = HeldOut(model, communities, communities.valid, user_part=False).fuse(model.magnet)
    assert without == plain
    assert fuse(model, communities).ndcg20 < plain.ndcg20


def test_no_single_weight_would_be_better_by_more_than_is_given_away(new_items: Dataset) -> None:
    model = with_item_item(untrained(new_items), item_item_weights(new_items.train_histories))
    fusion = fuse(model, new_items)
    alternatives = [
        *(replace(fusion, popularity=x) for x in POPULARITY_WEIGHTS),
        *(replace(fusion, item_item=x) for x in ITEM_ITEM_DEVIATIONS),
        *(replace(fusion, content={"text": x}) for x in CONTENT_WEIGHTS),
    ]
    best = max(ndcg(model, each, new_items) for each in alternatives)
    assert ndcg(model, fusion, new_items) >= 0.98 * best


def test_noise_as_content_may_say_next_to_nothing_and_costs_nothing(sparse: Dataset) -> None:
    alone = untrained(sparse)
    noisy_data = with_content(sparse, "noise")
    noisy = untrained(noisy_data)
    fusion = fuse(noisy, noisy_data)
    assert fusion.content["noise"] <= 0.15
    reached = ndcg(alone, fuse(alone, sparse), sparse)
    assert ndcg(noisy, fusion, noisy_data) >= 0.98 * reached
    even = ndcg(noisy, replace(fusion, content={"noise": 1.0}), noisy_data)
    assert even < 0.95 * reached


def test_content_that_tells_gets_weight_beside_noise(sparse: Dataset) -> None:
    both_data = with_content(sparse, "noise", "text")
    both = untrained(both_data)
    fusion = fuse(both, both_data)
    assert fusion.content["text"] >= 0.3
    assert fusion.content["noise"] <= 0.15


def test_popularity_that_only_misleads_is_taken_out(communities: Dataset) -> None:
    count_I = communities.train.sum(axis=0)
    least_UI = np.where(communities.train.toarray() > 0, np.inf, count_I).argsort(axis=1)[:, :2]
    unpopular_UI = np.zeros(communities.train.shape, dtype=np.float32)
    np.put_along_axis(unpopular_UI, least_UI, 1, axis=1)
    assert fuse(untrained(communities), communities, csr_array(unpopular_UI)).popularity == 0


def test_popularity_that_decides_is_put_back(communities: Dataset) -> None:
    train_UI = communities.train.toarray() > 0
    score_I = np.where(train_UI, -1, train_UI.sum(axis=0))
    chosen_UI = np.zeros_like(train_UI, dtype=np.float32)
    chosen_UI[np.arange(len(train_UI)), score_I.argmax(axis=1)] = 1  # the most popular new item
    fusion = fuse(untrained(communities), communities, csr_array(chosen_UI))
    assert fusion.popularity > 0.1


@pytest.mark.parametrize("wanted", [True, False])
def test_new_items_get_the_largest_offset_that_costs_nothing(
    new_items: Dataset, wanted: bool
) -> None:
    target_UI = new_items.valid.toarray()
    for user, target_I in enumerate(target_UI):
        target_I[60 + user % 4 :: 4] = wanted  # their group's new items
    target = csr_array(target_UI)
    model = untrained(new_items)
    chosen = fuse(model, new_items, target)
    found = {x: ndcg(model, replace(chosen, cold=x), new_items, target) for x in COLD_OFFSETS}
    assert chosen.cold == max(o for o, x in found.items() if x >= 0.998 * max(found.values()))
    if wanted:
        assert found[chosen.cold] > 1.1 * found[0.0]
    else:
        assert chosen.cold < max(COLD_OFFSETS)


def test_without_content_new_items_get_no_offset(new_items: Dataset) -> None:
    silent = replace(new_items, features={})
    model = untrained(silent)
    assert not model.magnet.known_I1.all()
    assert fuse(model, silent).cold == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_an_item_item_model_gets_weight_if_it_helps(communities: Dataset, sign: int) -> None:
    oracle_II = sign * (communities.train.T @ communities.valid)
    fusion = fuse(with_item_item(untrained(communities), oracle_II), communities)
    assert (fusion.item_item > 0) == (sign > 0)
