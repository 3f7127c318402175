"""What a trained model makes of items and users that it was not trained with."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.data.histories import Histories
from training.fit.config import TrainingConfig
from training.fit.trained_model import TrainedModel, encode_anew, user_trust
from training.fit.trainer import train

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=4)
COLD = "i038"
"""Nobody has chosen it; it has features of the even items' taste."""


@pytest.fixture(scope="module")
def model(dataset: Dataset) -> TrainedModel:
    return train(dataset, SMALL)


def without_cold(dataset: Dataset) -> Dataset:
    """The data set before the cold item was in the catalogue; no row before its own moves."""
    row = dataset.item_ids.index(COLD)
    kept = np.arange(len(dataset.item_ids)) != row

    def of(histories: Histories) -> Histories:
        assert histories.item_P.max() < row
        return replace(histories, num_items=histories.num_items - 1)

    return replace(
        dataset,
        item_ids=[item_id for item_id in dataset.item_ids if item_id != COLD],
        train=dataset.train[:, kept],
        valid=dataset.valid[:, kept],
        test=dataset.test[:, kept],
        seen=dataset.seen[:, kept],
        train_histories=of(dataset.train_histories),
        histories=of(dataset.histories),
        features={
            name: ModalityFeatures(x_IF=x.x_IF[kept], present_I=x.present_I[kept])
            for name, x in dataset.features.items()
        },
    )


def chosen_by(dataset: Dataset, users: list[int]) -> Dataset:
    """The data set after the cold item was chosen by some users."""
    row = dataset.item_ids.index(COLD)
    history = dataset.train_histories
    user_N = np.append(np.repeat(np.arange(len(history.length_U)), history.length_U), users)
    item_N = np.append(history.item_P, np.full(len(users), row))
    return replace(
        dataset,
        train=csr_array(
            (np.ones(len(user_N), dtype=np.float32), (user_N, item_N)), shape=dataset.train.shape
        ),
        train_histories=Histories.of(
            user_N, item_N, np.arange(len(user_N), dtype=np.float64), dataset.train.shape
        ),
    )


def test_the_same_data_give_the_same_model(model: TrainedModel, dataset: Dataset) -> None:
    again = encode_anew(model, dataset, dataset)
    torch.testing.assert_close(again.embeddings.item_IVMD, model.embeddings.item_IVMD)
    torch.testing.assert_close(again.embeddings.foldin_IVMD, model.embeddings.foldin_IVMD)
    torch.testing.assert_close(again.magnet.item_bias(), model.magnet.item_bias())
    users = np.arange(10)
    np.testing.assert_allclose(again.score(users), model.score(users), atol=1e-4)


def test_an_item_added_afterwards_is_what_it_was_as_a_cold_item_in_training(
    model: TrainedModel, dataset: Dataset
) -> None:
    unaware = encode_anew(model, dataset, without_cold(dataset))
    assert len(unaware.embeddings.item_IVMD) == len(dataset.item_ids) - 1
    assert len(unaware.magnet.item_behaviour_ID) == len(dataset.item_ids) - 1
    added = encode_anew(unaware, dataset, dataset)
    row = dataset.item_ids.index(COLD)
    cold_VMD = model.embeddings.item_IVMD[row]
    assert cold_VMD[1].norm(dim=-1).min() > 0.99  # in every modality of the augmented view
    torch.testing.assert_close(added.embeddings.item_IVMD[row], cold_VMD)
    torch.testing.assert_close(added.embeddings.foldin_IVMD[row], model.embeddings.foldin_IVMD[row])
    np.testing.assert_allclose(added.score(np.arange(10)), model.score(np.arange(10)), atol=1e-4)


def test_an_item_that_training_never_saw_is_alike_to_what_its_content_is_alike_to(
    dataset: Dataset,
) -> None:
    before = without_cold(dataset)
    trained = train(before, SMALL)
    added = encode_anew(trained, before, dataset)
    row = dataset.item_ids.index(COLD)
    similarity_IVM = (added.embeddings.item_IVMD * added.embeddings.item_IVMD[row]).sum(-1)
    others = np.arange(row)
    same, other = similarity_IVM[others[::2]].mean(0), similarity_IVM[others[1::2]].mean(0)
    content, augmented_behaviour = (slice(None), slice(1, None)), (1, 0)
    for part in (content, augmented_behaviour):
        assert (same[part] > other[part] + 0.1).all()
    moved_IVM = (added.embeddings.item_IVMD[:row] * trained.embeddings.item_IVMD[:row]).sum(-1)
    assert moved_IVM.min() > 0.9


def test_behaviour_of_a_new_item_comes_from_those_who_choose_it(
    model: TrainedModel, dataset: Dataset
) -> None:
    row = dataset.item_ids.index(COLD)
    cold_D = encode_anew(model, dataset, dataset).embeddings.item_IVMD[row, 0, 0]
    assert not cold_D.any()
    even, odd = (
        encode_anew(model, dataset, chosen_by(dataset, users)).embeddings.item_IVMD[row, 0, 0]
        for users in ([0, 2, 4, 6], [1, 3, 5, 7])
    )
    assert even.norm() == pytest.approx(1)
    item_ID = model.embeddings.item_IVMD[:row, 0, 0]
    for mine_D, mine, others in ((even, 0, 1), (odd, 1, 0)):
        assert (item_ID[mine::2] @ mine_D).mean() > (item_ID[others::2] @ mine_D).mean()


def test_popularity_is_measured_as_in_training(model: TrainedModel, dataset: Dataset) -> None:
    row, like = dataset.item_ids.index(COLD), 0
    times = int((dataset.train.indices == like).sum())
    grown = chosen_by(dataset, list(range(times)))
    before, after = (
        encode_anew(model, dataset, x).magnet.log_popularity_I for x in (dataset, grown)
    )
    torch.testing.assert_close(before[:row], after[:row])
    assert before[row] < after[row] == pytest.approx(before[like].item())


def test_other_modalities_are_refused(model: TrainedModel, dataset: Dataset) -> None:
    silent = replace(dataset, features={"text": dataset.features["text"]})
    with pytest.raises(ValueError, match=r"modalities \['text'\].*\['picture', 'text'\]"):
        encode_anew(model, dataset, silent)
    text = dataset.features["text"]
    wide = replace(text, x_IF=np.tile(text.x_IF, 2))
    with pytest.raises(ValueError, match="16 wide, expected 8"):
        encode_anew(model, dataset, replace(dataset, features=dataset.features | {"text": wide}))


def test_users_keep_their_free_parts_by_name(model: TrainedModel, dataset: Dataset) -> None:
    magnet = copy.deepcopy(model.magnet)
    generator = torch.Generator().manual_seed(0)
    magnet.user_behaviour_UD.data.normal_(std=0.2, generator=generator)
    told = TrainedModel.of(magnet, dataset, model.recency_power)
    named = ["a newcomer", *dataset.user_ids[1:]]
    again = encode_anew(told, dataset, replace(dataset, user_ids=named))
    users = np.arange(10)
    weight_BI = told.train_weight_UI[users]
    before_BVMD, after_BVMD = (x.known_users(users, weight_BI) for x in (told, again))
    np.testing.assert_allclose(after_BVMD[1:], before_BVMD[1:], atol=1e-5)
    np.testing.assert_allclose(after_BVMD[0], told.users(weight_BI[[0]])[0], atol=1e-5)
    assert not np.allclose(before_BVMD[0], after_BVMD[0], atol=0.01)
    np.testing.assert_allclose(again.score(users)[1:], told.score(users)[1:], atol=1e-4)


def test_trust_grows_with_the_history(dataset: Dataset) -> None:
    length_U = np.diff(dataset.train.indptr)
    trust_U = user_trust(dataset, 5.0).numpy()
    assert trust_U == pytest.approx(length_U / (length_U + 5))
    assert trust_U.min() == 0  # somebody has no positive


def test_item_item_scores_of_every_history_have_one_deviation(
    model: TrainedModel, dataset: Dataset
) -> None:
    magnet = copy.deepcopy(model.magnet)
    magnet.item_item_deviation.fill_(0.06)
    told = TrainedModel.of(magnet, dataset, model.recency_power)
    score_UI = told.item_item(told.train_weight_UI)
    known_U = np.diff(dataset.train.indptr) > 0
    assert score_UI[known_U].std(axis=1) == pytest.approx(0.06, abs=1e-5)
    assert not score_UI[~known_U].any()
    one, two = (told.train_weight_UI[[0]], 2 * told.train_weight_UI[[0]])
    np.testing.assert_allclose(told.item_item(one), told.item_item(two), atol=1e-6)
