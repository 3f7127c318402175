"""The directory: items by title and category, users by the beginning of their ids.

For people who look around, not for ranking. Knows one snapshot; knows nothing about HTTP.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import orjson
from numpy.typing import NDArray

from service.ranking import Rows
from service.schemas import CatalogueItem, CategorySize
from service.snapshot import Snapshot

MAX_LOOKED_AT = 100_000
"""Titles read for one search, the most popular items first: half a second's work."""


def find_items(
    snapshot: Snapshot,
    hidden_rows: Rows,
    *,
    title: str = "",
    categories: Sequence[str] = (),
    offset: int = 0,
    limit: int,
) -> list[CatalogueItem]:
    """Items whose title holds a text, of any of some categories, most popular first. Blocking.

    Args:
        snapshot: whose items.
        hidden_rows: items that nobody is shown; they are found, and flagged.
        title: in any case; empty for all items.
        categories: empty for all.
        offset: how many matching items to skip.
        limit: most items.
    """
    items = snapshot.items
    rows_N: NDArray[np.integer] = items.popular_order_I
    if categories:
        mask_I = np.zeros(len(items), dtype=np.bool_)
        mask_I[items.rows_in_any(categories)] = True
        rows_N = rows_N[mask_I[rows_N]]
    if title:
        matching: Iterator[int] = _with_title(snapshot, rows_N[:MAX_LOOKED_AT], title.casefold())
        start = min(offset, len(items))  # islice takes no number beyond the machine's
        page = list(islice(matching, start, start + limit))
    else:
        page = rows_N[offset : offset + limit].tolist()
    return _described(snapshot, np.array(page, dtype=np.intp), hidden_rows)


def find_named(
    snapshot: Snapshot, hidden_rows: Rows, item_ids: Sequence[str]
) -> tuple[list[CatalogueItem], list[str]]:
    """Items in the order in which they are named, and the ids that are not known. Blocking."""
    rows_N, missing = snapshot.items.rows(item_ids)
    return _described(snapshot, rows_N, hidden_rows), missing


def _described(snapshot: Snapshot, rows_N: Rows, hidden_rows: Rows) -> list[CatalogueItem]:
    """What people see of some items."""
    items = snapshot.items
    hidden = set(hidden_rows.tolist())
    found: list[CatalogueItem] = []
    for row in rows_N.tolist():
        fields = orjson.loads(items.metadata.raw(row))
        found.append(
            CatalogueItem(
                item_id=items.ids[row],
                title=fields.get("title"),
                categories=fields.get("categories", []),
                picture_url=fields.get("picture_url"),
                popularity=int(items.popularity_I[row]),
                available=row not in hidden,
            )
        )
    return found


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
    first = bisect_left(range(len(users)), raw, key=users.raw)
    rows = islice(range(first, len(users)), limit)
    return [users[row] for row in rows if users.raw(row).startswith(raw)]


def _with_title(snapshot: Snapshot, rows_N: NDArray[np.integer], text: str) -> Iterator[int]:
    for row in rows_N.tolist():
        if text in (snapshot.items.title(row) or "").casefold():
            yield row
