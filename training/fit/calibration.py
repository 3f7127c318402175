"""Weights of popularity, newness and the item-item model in the score, chosen on validation.

Letters: U users, B users of a block, I items, W weights that are compared, K length of the list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.network.magnet import Magnet
from training.data.dataset import Dataset
from training.evaluate.protocol import measure, top_items
from training.fit.item_item import item_item_scores, item_item_weights, no_weights
from training.fit.trained_model import TrainedModel

POPULARITY_WEIGHTS = tuple(0.75 * (step / 24) ** 2 for step in range(25))
"""Denser near zero; the best ones on real data lie between 0.02 and 0.25 (docs/research-log.md)."""
ITEM_ITEM_WEIGHTS = (0.0, *(2.0**step for step in range(1, 11)))
"""An item-item score is a few thousandths to hundredths, since a history item's weights sum to 1
over some fifty items; a cosine is a few tenths."""
COLD_OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""In units of the score, which reads as log-odds: up to e^3 times the odds of the least chosen."""
TOLERANCE = 0.01
"""Relative loss of NDCG@20 accepted for a smaller weight; its noise is larger."""
COLD_TOLERANCE = 0.001
"""Relative loss of NDCG@20 accepted for a larger offset."""
_BLOCK_USERS = 512
_TOP = 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that are chosen after training."""

    item_item: float
    popularity: float
    cold: float = 0.0
    """Offset of items without positives."""


def calibrated(
    model: TrainedModel, dataset: Dataset, target: csr_array, *, item_item: bool
) -> TrainedModel:
    """The model with the weights that suit the positives `target` [U, I]; its `magnet` keeps them.

    Training histories make the item-item model, if there is to be one.
    """
    histories = dataset.train_histories
    item_item_II = item_item_weights(histories) if item_item else no_weights(histories.num_items)
    weights = calibrate(model, item_item_II, dataset, target)
    with torch.no_grad():
        model.magnet.popularity_weight.fill_(weights.popularity)
        model.magnet.cold_offset.fill_(weights.cold)
        model.magnet.neighbourhood_weight.fill_(weights.item_item)
    if weights.item_item == 0:
        return model  # without the entries of a model that counts for nothing
    return replace(model, item_item_II=weights.item_item * item_item_II)


def calibrate_as(found: Magnet, magnet: Magnet) -> None:
    """Give `magnet` the weights that `calibrated` has chosen for `found`."""
    with torch.no_grad():
        for name in ("popularity_weight", "cold_offset", "neighbourhood_weight"):
            getattr(magnet, name).copy_(getattr(found, name))


def calibrate(
    model: TrainedModel, item_item_II: csr_array, dataset: Dataset, target: csr_array
) -> Weights:
    """The smallest weights whose NDCG@20 on held-out positives is about the best (ours).

    Negatives are drawn by popularity, which takes popularity out of the scores (logit adjustment,
    arXiv:2007.07314, section 4). How much of it to put back depends on the data: on how
    concentrated choices are, and on whether popular items stay popular. The weight of the item-item
    model depends on how often items were chosen together. Items without positives are only ever
    negatives in training; new ones are chosen all the same, so they get the largest offset that
    costs nothing.

    The positives to find are `target` [U, I]; those of training are masked. The weights that the
    model has already do not influence the result.
    """

    def best(tried: Sequence[Weights]) -> Weights:
        ndcg_W = _ndcg(model, item_item_II, dataset, target, tried)
        return tried[int(np.argmax(ndcg_W >= (1 - TOLERANCE) * ndcg_W.max()))]

    weights = best([Weights(0, y) for y in POPULARITY_WEIGHTS])
    if item_item_II.nnz > 0:
        weights = best([replace(weights, item_item=x) for x in ITEM_ITEM_WEIGHTS])
    if weights.item_item > 0:
        weights = best([replace(weights, popularity=y) for y in POPULARITY_WEIGHTS])
    if model.magnet.known_I1.all() or not dataset.features:
        return weights
    offset = [replace(weights, cold=z) for z in COLD_OFFSETS]
    ndcg_W = _ndcg(model, item_item_II, dataset, target, offset)
    free_W = np.flatnonzero(ndcg_W >= (1 - COLD_TOLERANCE) * ndcg_W.max())
    return offset[int(free_W[-1])]


def _ndcg(
    model: TrainedModel,
    item_item_II: csr_array,
    dataset: Dataset,
    target: csr_array,
    weights: Sequence[Weights],
) -> NDArray[np.float64]:
    """NDCG@20 with each of the weights [W]; a score is linear in them."""
    users = np.flatnonzero(np.diff(target.indptr))
    magnet = model.magnet
    bias_I = magnet.item_bias().detach().cpu().numpy()
    cold_I = 1 - magnet.known_I1.squeeze(1).cpu().numpy()
    unit_I = (magnet.log_popularity_I / magnet.config.temperature).cpu().numpy()
    top_WUK = np.empty((len(weights), len(users), min(_TOP, len(unit_I))), dtype=np.int64)
    for start in range(0, len(users), _BLOCK_USERS):
        user_B = users[start : start + _BLOCK_USERS]
        history_BI = model.train_weight_UI[user_B]
        near_BI = item_item_scores(history_BI, item_item_II)
        score_BI = model.score_with(history_BI, np.zeros_like(near_BI))
        near_BI *= model.score_with(history_BI, np.ones_like(near_BI)) - score_BI
        score_BI[dataset.train[user_B].nonzero()] = -np.inf
        for tried, top_UK in zip(weights, top_WUK, strict=True):
            shifted_BI = score_BI + np.float32(tried.item_item) * near_BI
            shifted_BI += tried.popularity * unit_I + tried.cold * cold_I - bias_I
            top_UK[start : start + len(user_B)] = top_items(shifted_BI, top_UK.shape[1])
    return np.array(
        [measure(top_UK, dataset, target, ks=(_TOP,)).metrics["ndcg@20"] for top_UK in top_WUK]
    )
