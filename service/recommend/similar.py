"""Neighbours of an item by cosine, per modality or over all of them.

Letters: I items, V views, M modalities, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

from model.runtime.fold_in import Vectors
from model.runtime.top_k import Rows, top_places
from service.recommend.explanation import named, plain
from service.retrieval.query import Eligible
from service.schemas.errors import InvalidRequest, UnknownItem
from service.schemas.responses import Neighbours, SimilarItem
from service.serving.snapshot import Snapshot


def similar_items(
    snapshot: Snapshot, item_id: str, hidden_rows: Rows, *, modality: str | None, k: int
) -> Neighbours:
    """The k items most similar to one, itself and the hidden left out. Blocking.

    Raises:
        UnknownItem: the model does not have it.
        InvalidRequest: there is no such modality.
    """
    items = snapshot.items
    names = snapshot.manifest.modalities
    row = items.ids.row(item_id)
    if row is None:
        raise UnknownItem(f"item {item_id!r} is not in model version {snapshot.version}")
    if modality is not None and modality not in names:
        raise InvalidRequest.of("modality", f"{modality!r} is not one of {', '.join(names)}")
    similarity_IM = similarities(items.embeddings_IVMD, row)
    if modality is None:
        order_I = similarity_IM.mean(axis=1)
    else:
        order_I = similarity_IM[:, names.index(modality)]
    rows = Eligible(len(items), np.append(hidden_rows, row)).rows()
    nearest = rows[top_places(order_I[rows], 0, k)]
    return Neighbours(
        model_version=snapshot.version,
        item_id=item_id,
        title=items.title(row),
        modality=modality,
        items=[
            SimilarItem(
                item_id=items.ids[other],
                title=items.title(other),
                rank=place + 1,
                similarity=plain(order_I[other]),
                by_modality=named(names, similarity_IM[other]),
            )
            for place, other in enumerate(nearest)
        ],
    )


def similarities(embeddings_IVMD: Vectors, row: int) -> NDArray[np.float32]:
    """Cosine of every item with one, per modality [I, M], mean over the views.

    An item without a vector for a modality has similarity 0 there.
    """
    num_items, num_views, num_modalities, _ = embeddings_IVMD.shape
    total_IM = np.zeros((num_items, num_modalities), dtype=np.float32)
    for view in range(num_views):
        for modality in range(num_modalities):
            vectors_ID = embeddings_IVMD[:, view, modality]
            total_IM[:, modality] += vectors_ID @ vectors_ID[row]
    return total_IM / np.float32(num_views)
