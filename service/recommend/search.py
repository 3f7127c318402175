"""Search: items by title and category, users by the beginning of their ids.

For people who look around, not for ranking.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import orjson
from numpy.typing import NDArray

from model.runtime.top_k import Rows
from service.http.pages import PictureFolder
from service.schemas.requests import ItemSearch
from service.schemas.responses import CatalogueItem, CategorySize
from service.serving.snapshot import Snapshot

MAX_LOOKED_AT = 100_000
"""Titles read for one search, the most popular items first: half a second's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFinder:
    """Finds items of one model version and describes them. Its methods block."""

    snapshot: Snapshot
    hidden_rows: Rows
    """Items that nobody is shown; they are found, and flagged."""
    pictures: PictureFolder

    def find(self, wanted: ItemSearch) -> list[CatalogueItem]:
        """Items whose title holds a text, of any of some categories, most popular first."""
        items, end = self.snapshot.items, wanted.offset + wanted.limit
        rows_N: NDArray[np.integer] = items.popular_order_I
        if wanted.category:
            rows_N = rows_N[np.isin(rows_N, items.rows_in_any(wanted.category))]
        if not wanted.title:
            return self._described(rows_N[wanted.offset : end].tolist())
        matching = _with_title(self.snapshot, rows_N[:MAX_LOOKED_AT], wanted.title.casefold())
        start = min(wanted.offset, len(items))  # islice takes no number beyond the machine's
        return self._described(list(islice(matching, start, start + wanted.limit)))

    def named(self, item_ids: Sequence[str]) -> tuple[list[CatalogueItem], list[str]]:
        """Items in the order in which they are named, and the ids that are not known."""
        rows_N, missing = self.snapshot.items.rows(item_ids)
        return self._described(rows_N.tolist()), missing

    def _described(self, rows: Sequence[int]) -> list[CatalogueItem]:
        items = self.snapshot.items
        hidden = set(self.hidden_rows.tolist())
        found: list[CatalogueItem] = []
        for row in rows:
            item_id, fields = items.ids[row], orjson.loads(items.metadata.raw(row))
            found.append(
                CatalogueItem(
                    item_id=item_id,
                    title=fields.get("title"),
                    categories=fields.get("categories", []),
                    picture_url=self.pictures.address(item_id, fields.get("picture_url")),
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
