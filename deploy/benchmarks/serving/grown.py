"""A model of any size with the structure of a trained one, made from a seed in seconds.

What it imitates, with the figures of a model trained on MovieLens-100K (behaviour, knowledge, text)
beside its own in tests/deploy/benchmarks/serving/test_grown.py: items lie in clusters of skewed
size, spectra fall off, modalities hardly agree, views of one modality nearly do, popularity has a
long tail and a bias in the score, routing differs by pair with a few experts active, and the
item-item model names items of the same cluster. There is nothing to learn from it.

Letters: U users, I items, V views, M modalities, D dimension, H history, K experts, N neighbours,
E entries of the item-item model.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact.build import build_artifact, untrained, with_tables
from model.artifact.files import Artifact
from model.network.config import VIEWS, MagnetConfig
from model.network.head import FusionHead
from model.runtime.artifact import ArtifactScorer, record_golden
from model.runtime.item_item import ItemItemModel
from training.export.artifact import expert_specs
from training.export.onnx import export_head

MODALITIES = ("behaviour", "text", "visual")
HISTORY = 50
"""Items in every history."""
NEIGHBOURS = 50
"""Entries of every item in the item-item model."""
_NEIGHBOUR_STRIDES = 4
"""Neighbours are every first to every fourth item in the order of clusters, on both sides."""
_NEIGHBOUR_WEIGHT = 5.0
"""Mean size of the weights: they change a third of a list of 20."""
_AGAINST = 0.1
"""Share of the weights below zero."""
_ITEMS_PER_CLUSTER = 40
_CLUSTER_SKEW = 2.0
"""An item's cluster is clusters * uniform^skew: the first tenth holds a third of the items."""
_DECAY_M = (0.4, 0.5, 0.9)
"""Dimension d has standard deviation (1 + d)^-decay: gives the cosines of trained rows a standard
deviation of 0.2 to 0.4."""
_SCATTER_M = (1.1, 0.9, 0.6)
"""Scatter of items around their cluster's centre, which has scale 1: widest in behaviour."""
_VIEW_SCATTER_M = (1.0, 0.3, 0.15)
"""Distance between an item's two views: their cosines are 0.8, 0.97 and 0.99."""
_BIAS_SPREAD = 1.2
"""Standard deviation of the bias, as trained."""
_ROUTING_SCALE = 5.0
"""Scale of the router's inputs: the item's part varies by about 0.6; trained: 0.3 to 1.3."""
_PRIOR_SPREAD = 0.4
_BLOCK_ROWS = 65_536

Vectors = NDArray[np.float32]


def grown_artifact(num_items: int, num_users: int, seed: int) -> Artifact:
    """A whole artifact that the service loads as it loads a trained one.

    Fold-in rows are the items' rows themselves, in the same memory.
    """
    rng = np.random.default_rng(seed)
    head = _head(seed)
    cluster_I = _clusters(num_items, rng)
    popularity_I = np.exp(1.5 + 1.3 * rng.standard_normal(num_items)).astype(np.int64)
    items_IVMD = _items(cluster_I, rng)
    history_UH = _histories(cluster_I, popularity_I, num_users, rng)
    item_item = _item_item(cluster_I, rng)
    log_popularity_I = np.log1p(popularity_I)
    bias_I = (log_popularity_I - log_popularity_I.mean()) / log_popularity_I.std() * _BIAS_SPREAD
    tensors = with_tables(
        {
            "user_embeddings": _users(items_IVMD, history_UH),
            "item_embeddings": items_IVMD,
            "item_foldin": items_IVMD,
            "item_routing": _routing(head, items_IVMD),
            "item_bias": bias_I.astype(np.float32),
            **item_item.tensors(),
            "item_popularity": popularity_I,
            "seen_offsets": np.arange(num_users + 1) * HISTORY,
            "seen_items": history_UH.reshape(-1).astype(np.int32),
            "history_lengths": np.full(num_users, HISTORY, dtype=np.int32),
        },
        user_ids=(f"u{row:09d}" for row in range(num_users)),
        item_ids=(f"i{row:09d}" for row in range(num_items)),
        item_metadata=(
            f'{{"title": "Item {row}", "categories": ["c{cluster % 10}"]}}'
            for row, cluster in enumerate(cluster_I.tolist())
        ),
    )
    files = export_head(head)
    rows = range(4)
    said = [item_item.of_history(history_H, 0.0) for history_H in history_UH[:4]]
    deviation = float(np.mean([each.deviation(num_items) for each in said]))
    scorer = ArtifactScorer.of_parts(
        tensors, files, recency_power=0.0, item_item_deviation=deviation
    )
    return build_artifact(
        tensors,
        files,
        model_version=f"grown-{num_items}-{seed}",
        created_at="2026-01-01T00:00:00+00:00",
        views=list(VIEWS),
        modalities=list(MODALITIES),
        experts=expert_specs(head, np.full(head.num_experts, 1 / head.num_experts)),
        gate_threshold=head.config.gate_threshold,
        recency_power=0.0,
        item_item_deviation=deviation,
        golden=record_golden(scorer.scorer, [scorer.user(row) for row in rows], rows, rows),
        metrics={},
        training=untrained(seed),
    )


def _head(seed: int) -> FusionHead:
    """A head whose router has evidence of the strength that trained ones have."""
    head = FusionHead(MagnetConfig(modalities=MODALITIES))
    generator = torch.Generator().manual_seed(seed)
    router = head.router
    router.reset_parameters(generator)
    with torch.no_grad():
        router.scale.fill_(_ROUTING_SCALE)
        router.prior_J.normal_(std=_PRIOR_SPREAD, generator=generator)
        router.coherence_JG.normal_(std=0.3, generator=generator)
    return head.eval()


def _clusters(num_items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    count = max(4, num_items // _ITEMS_PER_CLUSTER)
    return (count * rng.random(num_items) ** _CLUSTER_SKEW).astype(np.int64)


def _items(cluster_I: NDArray[np.int64], rng: np.random.Generator) -> Vectors:
    """Unit rows in both views; each modality deals the clusters' centres anew."""
    width = MagnetConfig(modalities=MODALITIES).embedding_dim
    count = int(cluster_I.max()) + 1
    items_IVMD = np.empty((len(cluster_I), len(VIEWS), len(MODALITIES), width), dtype=np.float32)
    for place, decay in enumerate(_DECAY_M):
        spread_D = np.arange(1, width + 1, dtype=np.float32) ** -decay
        spread_D /= np.linalg.norm(spread_D)
        centre_CD = rng.standard_normal((count, width), dtype=np.float32)
        for start in range(0, len(cluster_I), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            shape = (len(cluster_I[block]), width)
            own_ID = rng.standard_normal(shape, dtype=np.float32) * _SCATTER_M[place]
            own_ID += centre_CD[cluster_I[block]]
            other_ID = own_ID + _VIEW_SCATTER_M[place] * rng.standard_normal(
                shape, dtype=np.float32
            )
            for view, rows_ID in enumerate((own_ID, other_ID)):
                scaled_ID = rows_ID * spread_D
                length_I1 = np.linalg.norm(scaled_ID, axis=1, keepdims=True)
                items_IVMD[block, view, place] = scaled_ID / length_I1
    return items_IVMD


def _histories(
    cluster_I: NDArray[np.int64],
    popularity_I: NDArray[np.int64],
    num_users: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Every user has two clusters, and popular items of them first [U, H]; no item twice."""
    order_I = np.lexsort((-popularity_I, cluster_I))
    start_C = np.searchsorted(cluster_I[order_I], np.arange(cluster_I.max() + 2))
    history_UH = np.empty((num_users, HISTORY), dtype=np.int64)
    for user in range(num_users):
        chosen: dict[int, None] = {}
        while len(chosen) < HISTORY:
            cluster = cluster_I[rng.integers(len(cluster_I))]
            first, stop = start_C[cluster : cluster + 2]
            drawn = (stop - first) * rng.random(HISTORY // 2) ** 2
            chosen |= dict.fromkeys(order_I[first + drawn.astype(np.int64)].tolist())
        history_UH[user] = list(chosen)[:HISTORY]
    return history_UH


def _users(items_IVMD: Vectors, history_UH: NDArray[np.int64]) -> Vectors:
    users_UVMD = np.empty((len(history_UH), *items_IVMD.shape[1:]), dtype=np.float32)
    step = _BLOCK_ROWS // HISTORY
    for start in range(0, len(history_UH), step):
        block = slice(start, start + step)
        users_UVMD[block] = items_IVMD[history_UH[block]].mean(axis=1)
    return users_UVMD


def _item_item(cluster_I: NDArray[np.int64], rng: np.random.Generator) -> ItemItemModel:
    """Every item names some that are near it in the order of clusters, of mixed popularity."""
    num_items = len(cluster_I)
    order_I = np.argsort(cluster_I, kind="stable").astype(np.int32)
    place_I = np.empty(num_items, dtype=np.int64)
    place_I[order_I] = np.arange(num_items)
    step_N = np.delete(np.arange(-NEIGHBOURS // 2, NEIGHBOURS // 2 + 1), NEIGHBOURS // 2)
    most = min(_NEIGHBOUR_STRIDES, (num_items - 1) // NEIGHBOURS)
    stride_I = rng.integers(1, most + 1, num_items)
    items_IN = np.empty((num_items, NEIGHBOURS), dtype=np.int32)
    for start in range(0, num_items, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        place_IN = place_I[block, None] + stride_I[block, None] * step_N
        items_IN[block] = order_I[place_IN % num_items]
    weight_E = rng.standard_exponential(items_IN.size, dtype=np.float32) * _NEIGHBOUR_WEIGHT
    weight_E *= np.where(rng.random(items_IN.size, dtype=np.float32) < _AGAINST, -1, 1)
    return ItemItemModel(
        np.arange(num_items + 1) * NEIGHBOURS, items_IN.reshape(-1), weight_E.astype(np.float32)
    )


def _routing(head: FusionHead, items_IVMD: Vectors) -> Vectors:
    with torch.inference_mode():
        parts = [
            head.router.item_evidence(torch.from_numpy(items_IVMD[start : start + _BLOCK_ROWS]))
            for start in range(0, len(items_IVMD), _BLOCK_ROWS)
        ]
        routing_IJ: Vectors = torch.cat(parts).numpy()
    return routing_IJ
