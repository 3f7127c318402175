"""The lists that an artifact makes for some of its users, taken apart.

Knows an artifact's arrays and graphs; knows nothing about how they are shown.

Letters: U users, I items, L places of a list, K experts, V views, M modalities, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact import Artifact
from training.evaluation import top_items
from training.histories import served_histories
from training.neighbourhood import from_tensors, neighbourhoods
from training.onnx_head import session

LENGTH = 20
"""Places of a list."""
_BLOCK_PAIRS = 2_000_000
"""Users times items scored at once: some 100 MB."""

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What some users are shown, and which experts speak for it."""

    users_U: Rows
    items_UL: Rows
    """Best first; what the user has seen is left out, as in serving."""
    weight_ULK: Numbers
    """The router's weights; they sum to 1 over K."""


def make_lists(
    artifact: Artifact, num_users: int, seed: int, on_users: Callable[[int, int], None]
) -> Lists:
    """Lists of users with a usable history.

    Args:
        artifact: an opened artifact; its lists are those that it serves.
        num_users: at most so many, drawn by seed.
        seed: of the draw.
        on_users: told how many users are done, and of how many, after each block.
    """
    tensors = artifact.tensors
    known_U = np.flatnonzero(tensors["history_lengths"])
    users_U = np.sort(np.random.default_rng(seed).permutation(known_U)[:num_users])
    length = min(LENGTH, artifact.manifest.num_items)
    head = session(artifact.files["head.onnx"])
    explain = session(artifact.files["explain.onnx"])
    items_UL = np.empty((len(users_U), length), dtype=np.int64)
    weight_ULK = np.empty((len(users_U), length, len(artifact.manifest.experts)))
    step = max(1, _BLOCK_PAIRS // artifact.manifest.num_items)
    catalogue = {
        "item": tensors["item_embeddings"],
        "item_routing": tensors["item_routing"],
        "item_bias": tensors["item_bias"],
    }
    history_UI = served_histories(
        tensors, artifact.manifest.num_items, artifact.manifest.recency_power
    )
    neighbourhood_II = from_tensors(tensors)
    for start in range(0, len(users_U), step):
        block = slice(start, start + step)
        near_BI = neighbourhoods(history_UI[users_U[block]], neighbourhood_II)
        user = {
            "user": np.asarray(tensors["user_embeddings"][users_U[block]]),
            "neighbourhood": near_BI,
        }
        (score_BI,) = head.run(["score"], user | catalogue)
        for score_I, row in zip(score_BI, users_U[block].tolist(), strict=True):
            first, stop = tensors["seen_offsets"][row : row + 2]
            score_I[tensors["seen_items"][first:stop]] = -np.inf
        items_BL = items_UL[block] = top_items(score_BI, length)
        shown = {name: array[items_BL] for name, array in catalogue.items()}
        user["neighbourhood"] = np.take_along_axis(near_BI, items_BL, axis=1)
        (weight_ULK[block],) = explain.run(["weight"], user | shown)
        on_users(min(start + step, len(users_U)), len(users_U))
    return Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK)
