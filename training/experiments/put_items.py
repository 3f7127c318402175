"""New items as the service has them: put with their features while it serves.

Letters: I items, X items that are put, F width of features.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact.manifest import ITEM_ENCODER
from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans
from model.runtime.item_encoder import ItemEncoder
from training.data.dataset import Dataset
from training.export.item_encoder import export_item_encoder
from training.fit.trained_model import TrainedModel


@torch.no_grad()
def with_items_put(model: TrainedModel, dataset: Dataset, put_I: NDArray[np.bool_]) -> TrainedModel:
    """The model with other rows of some items: those that the service makes of their features.

    None of these items is in its artifact, so that none is a neighbour of another.

    Args:
        model: has been trained without their interactions.
        dataset: what it has been trained with, which has content.
        put_I: which items.
    """
    files, exported = export_item_encoder(model, dataset.features)
    reliability_M1 = model.magnet.head.reliability_M.cpu().unsqueeze(1)
    item_IVMD = model.embeddings.item_IVMD.cpu()
    content_IG = exported["item_content"].copy()
    content_IG[put_I] = 0
    tensors = exported | {
        "item_content": content_IG,
        "item_embeddings": (item_IVMD * reliability_M1).numpy(),
        "item_routing": model.magnet.head.router.item_evidence(item_IVMD).numpy(),
        "item_bias": model.magnet.item_bias().cpu().numpy(),
        "item_popularity": np.diff(model.train_weight_UI.tocsc().indptr),
    }
    encoder = ItemEncoder(
        files[ITEM_ENCODER], tensors, list(dataset.features), CategoryMeans(tensors, {})
    )
    rows_X = np.flatnonzero(put_I)
    made = encoder.encode([_record(dataset, row) for row in rows_X.tolist()])
    rows = item_IVMD.clone()
    made_XVMD = torch.from_numpy(made.embeddings_XVMD)
    rows[rows_X] = made_XVMD / reliability_M1.clamp_min(1e-12)
    device = model.embeddings.item_IVMD.device
    return replace(model, embeddings=replace(model.embeddings, item_IVMD=rows.to(device)))


def _record(dataset: Dataset, row: int) -> ItemRecord:
    """An item as it would be put, with all of its features."""
    features = {
        name: x.x_IF[row].tolist() for name, x in dataset.features.items() if x.present_I[row]
    }
    return ItemRecord(
        item_id=dataset.item_ids[row], updated_at=datetime.now(UTC), features=features
    )
