"""Search: items by title and category, items like another, users by the beginning of their ids.

For people who look around, not for ranking.

Letters: N items found, I items, V views, M modalities, D dimension.
"""

from itertools import islice, takewhile

import numpy as np
import orjson
from numpy.typing import NDArray

from model.runtime.grown import Grown, GrownRows
from model.runtime.half import blocks
from model.runtime.profile import Vectors
from model.runtime.top_k import Rows, top_places
from service.http.pages import PictureFolder
from service.recommend.explanation import named, plain
from service.recommend.resolution import item_row
from service.recommend.rules import of_categories
from service.retrieval.query import Eligible
from service.schemas.errors import InvalidRequest
from service.schemas.paging import cursor_of, place_of
from service.schemas.requests import ItemSearch
from service.schemas.responses import CatalogueItem, CategorySize, Neighbours, SimilarItem
from service.schemas.warned import Warned, told
from service.serving.attributes import YEAR, attributes_of
from service.serving.catalogue import Catalogue
from service.serving.snapshot import Snapshot
from service.store.hidden import is_among

MAX_LOOKED_AT = 100_000
"""Titles read for one search, the most popular items first: half a second's work."""


def find_items(items: Catalogue, wanted: ItemSearch) -> tuple[Rows, str | None]:
    """Items whose title holds a text, of any of some categories, most popular first. Blocking.

    Also the cursor of the next page, if there is one; InvalidRequest for another listing's.
    """
    last = place_of("items", wanted.cursor, tuple[str, int])
    if last is not None and wanted.offset:
        raise InvalidRequest.of("offset", "it cannot be sent beside a cursor")
    rows_N, text = _searched(items, wanted), wanted.title.casefold()
    before = wanted.offset if last is None else max(0, last[1])
    skipped = min(before, len(items))  # islice takes no number beyond the machine's
    if last is not None:
        rows_N = np.asarray(rows_N)
        places = np.flatnonzero(rows_N == items.ids.row(last[0]))
        if len(places):  # otherwise it is no more, and the count leads on
            rows_N, skipped = rows_N[places[0] + 1 :], 0
    stop = skipped + wanted.limit + 1
    if text:
        matching = (
            x for x in np.asarray(rows_N).tolist() if text in (items.title(x) or "").casefold()
        )
        page_N = np.array(list(islice(matching, skipped, stop)), dtype=np.intp)
    else:
        page_N = rows_N[skipped:stop].astype(np.intp)
    if len(page_N) <= wanted.limit:
        return page_N, None
    shown_N = page_N[: wanted.limit]
    return shown_N, cursor_of("items", items.ids[int(shown_N[-1])], before + wanted.limit)


def warnings_of_search(items: Catalogue, wanted: ItemSearch) -> list[Warned]:
    """What it names that is not there, and whether titles are passed over."""
    found = of_categories(items, wanted.category)
    there = len(items.rows_in_any(wanted.category)) if wanted.category else len(items)
    if wanted.title and there > MAX_LOOKED_AT:
        words = f"of {there:,} items, titles of the {MAX_LOOKED_AT:,} most popular were looked at"
        found.append(Warned("partly_searched", words))
    return found


def _searched(items: Catalogue, wanted: ItemSearch) -> Grown:
    """The rows of the categories, most popular first; with a title, those that are looked at."""
    rows_N: Grown = items.popular_order_I
    if wanted.category:
        order_I = np.asarray(rows_N)
        rows_N = order_I[np.isin(order_I, items.rows_in_any(wanted.category))]
    elif len(items.ids.gone_rows):
        order_I = np.asarray(rows_N)
        rows_N = order_I[np.isin(order_I, items.ids.gone_rows, invert=True)]
    return _looked_at(rows_N) if wanted.title else rows_N


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
        year = attributes_of(fields).get(YEAR)
        found.append(
            CatalogueItem(
                item_id=item_id,
                title=fields.get("title"),
                year=year if type(year) is int else None,
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
    warnings = []
    if len(nearest) < k:
        words = f"the whole list has {len(nearest):,} items: no other item may be shown"
        warnings.append(Warned("short", words))
    return Neighbours(
        **told(warnings),
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
    unit_VMD = one_VMD / _lengths(one_VMD)[..., None]
    if isinstance(embeddings_IVMD, GrownRows):
        parts = (*blocks(embeddings_IVMD.base), embeddings_IVMD.added)
    else:
        parts = (*blocks(embeddings_IVMD),)
    cosines = (np.vecdot(part_NVMD, unit_VMD) / _lengths(part_NVMD) for part_NVMD in parts)
    return np.concatenate([cosine_NVM.mean(axis=1) for cosine_NVM in cosines])


def _lengths(vectors: Vectors) -> NDArray[np.float32]:
    """Of the rows; 1 of one that is zero."""
    lengths: NDArray[np.float32] = np.sqrt(np.vecdot(vectors, vectors))
    return np.where(lengths > 0, lengths, np.float32(1))


def category_sizes(
    snapshot: Snapshot, limit: int, cursor: str | None
) -> tuple[list[CategorySize], str | None]:
    """Categories and how many items each has, largest first, and the cursor of the next ones."""
    last = place_of("categories", cursor, tuple[int, str])
    sizes = ((-len(rows), name) for name, rows in snapshot.items.rows_of_category.items())
    left = sorted(pair for pair in sizes if last is None or pair > last)
    shown = [CategorySize(name=name, items=-size) for size, name in left[:limit]]
    more = len(left) > limit
    return shown, cursor_of("categories", *left[limit - 1]) if more else None


def find_users(
    snapshot: Snapshot, prefix: str, limit: int, cursor: str | None
) -> tuple[list[str], str | None]:
    """Ids of users that begin with a text, by their bytes, and the cursor of the next ones."""
    last = place_of("users", cursor, tuple[str])
    users, raw = snapshot.user_ids, prefix.encode()
    first = raw if last is None else max(raw, last[0].encode() + b"\0")
    rows = range(users.first_from(first), len(users))
    known = (row for row in rows if not users.is_blank(row))
    among = takewhile(lambda user_id: user_id.encode().startswith(raw), (users[x] for x in known))
    here = (user_id for user_id in among if not snapshot.users.is_erased(user_id))
    found = list(islice(here, limit + 1))
    shown = found[:limit]
    return shown, cursor_of("users", shown[-1]) if len(found) > limit else None
