"""What validation settles for cold-start items and users (ours).

The offset of items that nobody has chosen yet is found as if some known items were new
(docs/adr/0016-new-items-get-an-offset.md). How much more popularity says of newcomers, users of
whom a few items are known, is found as if known users were new
(docs/adr/0029-popularity-says-more-of-newcomers.md).

Letters: U users, I items, X all items in order, V views, M modalities, D dimension.
"""

import copy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from training.data.dataset import Dataset
from training.fit.calibration import COLD_OFFSETS, FREE_COST, Fusion, HeldOut, chosen
from training.fit.trained_model import TrainedModel

NEW_SHARE = 0.1
"""Of the known items, those that are taken for new."""
_SEED = 0
KNOWN_ITEMS = (1, 3, 10)
"""Newcomers are measured by so many of their first items."""
NEWCOMER_POPULARITIES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of `Magnet.newcomer_popularity`; more would leave nothing of a newcomer's own items."""
NEWCOMER_COST = 0.02
"""Relative loss of NDCG@20 accepted for less of it: the less popularity says, the more a list
follows a newcomer's own items."""
_MOST_USERS = 500


def for_new_items(
    fusion: Fusion, model: TrainedModel, dataset: Dataset, target: csr_array, cold_XVMD: Tensor
) -> Fusion:
    """The weights with the largest `cold` that costs next to nothing of NDCG@20.

    Held-out positives seldom are of new items. So a tenth of the items is taken for new: masked as
    in training, without interactions in histories and in the item-item model, and as popular as the
    least popular item.

    Args:
        fusion: what has been chosen for known items.
        model: its head is that of `fusion`, with reliabilities of 1.
        dataset: its training positives are left out.
        target: the positives to find [U, I].
        cold_XVMD: every item as if nobody had chosen it.
    """
    new_I = _drawn(model)
    if not dataset.features or not new_I.any():
        return fusion
    some_new = as_if_new(model, new_I, cold_XVMD)
    found = HeldOut(some_new, dataset, target).routed(model.magnet)
    tried = [replace(fusion, cold=offset) for offset in COLD_OFFSETS]
    return chosen(found, tried, cost=FREE_COST, largest=True)


def as_if_new(model: TrainedModel, new_I: NDArray[np.bool_], cold_XVMD: Tensor) -> TrainedModel:
    """The model as it would rank if nobody had chosen some items."""
    magnet = copy.deepcopy(model.magnet)
    new_X = torch.from_numpy(new_I).to(cold_XVMD.device)
    with torch.no_grad():
        magnet.known_I1[new_X] = 0
        magnet.log_popularity_I[new_X] = magnet.log_popularity_I.min()
    item_IVMD = torch.where(new_X[:, None, None, None], cold_XVMD, model.embeddings.item_IVMD)
    kept_II = diags_array((~new_I).astype(np.float32))
    return replace(
        model,
        magnet=magnet,
        embeddings=replace(model.embeddings, item_IVMD=item_IVMD),
        train_weight_UI=_without_zeros(model.train_weight_UI @ kept_II),
        item_item_II=_without_zeros(kept_II @ model.item_item_II @ kept_II),
    )


def _drawn(model: TrainedModel) -> NDArray[np.bool_]:
    known_I = model.magnet.known_I1.squeeze(1).cpu().numpy() > 0
    draw_I: NDArray[np.bool_] = np.random.default_rng(_SEED).random(len(known_I)) < NEW_SHARE
    return known_I & draw_I


def _without_zeros(matrix: csr_array) -> csr_array:
    kept = csr_array(matrix)
    kept.eliminate_zeros()
    return kept


def for_newcomers(
    fusion: Fusion, model: TrainedModel, dataset: Dataset, target: csr_array
) -> Fusion:
    """The weights with the least `newcomers` that is nearly the best for them.

    A newcomer is a user of whom the model knows but some first items of the training history.

    Args:
        fusion: what has been chosen for known users.
        model: its head is that of `fusion`, with reliabilities of 1.
        dataset: its training positives are left out.
        target: the positives to find [U, I].
    """
    users = np.flatnonzero(np.diff(target.indptr))
    users = users[:: max(1, -(-len(users) // _MOST_USERS))]
    total, length_U = np.zeros(len(NEWCOMER_POPULARITIES)), dataset.train_histories.length_U
    for count in KNOWN_ITEMS:
        measured = users[length_U[users] >= count]
        if not len(measured):
            continue
        measured_U = np.zeros(len(length_U), dtype=np.float32)
        measured_U[measured] = 1
        some = csr_array(target.multiply(measured_U[:, None]))
        some.eliminate_zeros()
        first = dataset.train_histories.first(count).recency_weighted(model.recency_power)
        newcomers = replace(model, train_weight_UI=first)
        found = HeldOut(newcomers, dataset, some, user_part=False).routed(model.magnet)
        for place, choice in enumerate(NEWCOMER_POPULARITIES):
            popularity = fusion.popularity * (1 + choice / count)
            weights = replace(fusion, popularity=popularity).weights()
            total[place] += len(measured) * found.ndcg20(weights)
    least = int(np.flatnonzero(total >= (1 - NEWCOMER_COST) * total.max())[0])
    return replace(fusion, newcomers=NEWCOMER_POPULARITIES[least])
