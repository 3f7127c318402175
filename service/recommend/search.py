"""Search: items by title and category, items like another, users by the beginning of their ids.

For people who look around, not for ranking.

Letters: N items found, I items, V views, M modalities, D dimension.
"""

from itertools import islice, takewhile

import numpy as np
import orjson
from numpy.typing import NDArray

from model.runtime.grown import Grown, GrownRows
from model.runtime.profile import Vectors
from model.runtime.top_k import Rows, top_places
from service.http.pages import PictureFolder
from service.recommend.explanation import named, plain
from service.recommend.resolution import item_row
from service.retrieval.query import Eligible
from service.schemas.errors import InvalidRequest
from service.schemas.requests import ItemSearch
from service.schemas.responses import CatalogueItem, CategorySize, Neighbours, SimilarItem
from service.serving.catalogue import Catalogue
from service.serving.snapshot import Snapshot
from service.store.hidden import is_among

MAX_LOOKED_AT = 100_000
"""Titles read for one search, the most popular items first: half a second's work."""


def find_items(items: Catalogue, wanted: ItemSearch) -> Rows:
    """Items whose title holds a text, of any of some categories, most popular first. Blocking."""
    end = wanted.offset + wanted.limit
    rows_N: Grown = items.popular_order_I
    if wanted.category:
        order_I = np.asarray(rows_N)
        rows_N = order_I[np.isin(order_I, items.rows_in_any(wanted.category))]
    elif len(items.ids.gone_rows):
        order_I = np.asarray(rows_N)
        rows_N = order_I[np.isin(order_I, items.ids.gone_rows, invert=True)]
    if not wanted.title:
        found_N: Rows = rows_N[wanted.offset : end].astype(np.intp)
        return found_N
    text = wanted.title.casefold()
    looked_at = _looked_at(rows_N).tolist()
    matching = (row for row in looked_at if text in (items.title(row) or "").casefold())
    start = min(wanted.offset, len(items))  # islice takes no number beyond the machine's
    return np.array(list(islice(matching, start, start + wanted.limit)), dtype=np.intp)


def _looked_at(rows_N: Grown) -> Rows:
    """The most popular of some rows and, behind them, the latest of those that were added."""
    if isinstance(rows_N, GrownRows):
        first = rows_N.base[:MAX_LOOKED_AT]
        return np.concatenate([first, rows_N.added[-MAX_LOOKED_AT:]]).astype(np.intp)
    return rows_N[:MAX_LOOKED_AT].astype(np.intp)


def described(
    items: Catalogue, rows_N: Rows, hidden_rows: Rows, pictures: PictureFolder
) -> list[CatalogueItem]:
    """Items as people see them; the hidden ones are flagged. Blocking."""
    found: list[CatalogueItem] = []
    is_hidden_N = is_among(rows_N, hidden_rows).tolist()
    for row, is_hidden in zip(rows_N.tolist(), is_hidden_N, strict=True):
        item_id, fields = items.ids[row], orjson.loads(items.metadata.raw(row))
        found.append(
            CatalogueItem(
                item_id=item_id,
                title=fields.get("title"),
                categories=fields.get("categories", []),
                picture_url=pictures.address(item_id, fields.get("picture_url")),
                popularity=int(items.popularity_I[row]),
                available=not is_hidden,
            )
        )
    return found


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
    row = item_row(snapshot, item_id)
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


def similarities(embeddings_IVMD: Grown, row: int) -> NDArray[np.float32]:
    """Cosine of every item with one, per modality [I, M], mean over the views.

    An item without a vector for a modality has similarity 0 there.
    """
    one_VMD: Vectors = embeddings_IVMD[row]
    if isinstance(embeddings_IVMD, GrownRows):
        parts = (embeddings_IVMD.base, embeddings_IVMD.added)
        return np.concatenate([_similar_to(part, one_VMD) for part in parts])
    return _similar_to(embeddings_IVMD, one_VMD)


def _similar_to(embeddings_IVMD: Vectors, one_VMD: Vectors) -> NDArray[np.float32]:
    num_items, num_views, num_modalities, _ = embeddings_IVMD.shape
    total_IM = np.zeros((num_items, num_modalities), dtype=np.float32)
    for view in range(num_views):
        for modality in range(num_modalities):
            vectors_ID = embeddings_IVMD[:, view, modality]
            length_I = np.linalg.norm(vectors_ID, axis=1)
            length_I[length_I == 0] = 1
            one_D = one_VMD[view, modality]
            one_D = one_D / max(float(np.linalg.norm(one_D)), 1e-12)
            total_IM[:, modality] += vectors_ID @ one_D / length_I
    return total_IM / np.float32(num_views)


def category_sizes(snapshot: Snapshot) -> list[CategorySize]:
    """Every category and how many items it has, largest first."""
    sizes = ((name, len(rows)) for name, rows in snapshot.items.rows_of_category.items())
    return [
        CategorySize(name=name, items=size)
        for name, size in sorted(sizes, key=lambda pair: (-pair[1], pair[0]))
    ]


def find_users(snapshot: Snapshot, prefix: str, limit: int) -> list[str]:
    """Ids of users that begin with a text, in the order of their bytes."""
    users, raw = snapshot.user_ids, prefix.encode()
    rows = range(users.first_from(raw), len(users))
    known = (row for row in rows if not users.is_blank(row))
    among = takewhile(lambda user_id: user_id.encode().startswith(raw), (users[x] for x in known))
    here = (user_id for user_id in among if not snapshot.users.is_erased(user_id))
    return list(islice(here, limit))
