"""What one user, and one item that nobody has described, may weigh among the events.

A single account could otherwise fill the newest tenth, by which models are judged, with items of
its own invention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model.registry.items import ItemRecord
from training.data.interactions import ITEM_COLUMNS
from training.data.tables import Table

_LEAST_PAIRS = 20
"""What anybody may weigh, however small the shop (ours)."""
_MOST_NAMED = 20
"""Users and items that are named, those with most pairs left out first."""
_PAIR = ["user_id", "item_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capped:
    """Events within the caps, and how many user-item pairs were left out, by user and by item."""

    events: pl.DataFrame
    users: dict[str, int]
    items: dict[str, int]


def catalogue_of(folder: Path, records: Sequence[ItemRecord]) -> pl.Series | None:
    """Ids of the item table and of the items that the API has put; None without either."""
    found = [*folder.glob("items.tsv"), *sorted(folder.glob("*.item"))]
    if not found and not records:
        return None
    put = pl.Series("item_id", [each.item_id for each in records], dtype=pl.String)
    if not found:
        return put
    table = Table.read(found[0])
    column = table.find(ITEM_COLUMNS) or table.frame.columns[0]
    return pl.concat([table.frame[column].alias("item_id"), put])


def within_caps(
    events: pl.DataFrame, known_items: pl.Series, base_pairs: int, share: float
) -> Capped:
    """Events without those of pairs beyond the caps; the newest pairs stay.

    Args:
        events: that count.
        known_items: ids of items that are in the data folder, or were put.
        base_pairs: user-item pairs of the data folder.
        share: of all pairs, that one user's events, or the events on one unknown item, may make.
    """
    pairs = events.group_by(_PAIR).agg(pl.col("received_at", "timestamp").max())
    cap = max(_LEAST_PAIRS, int(share * (base_pairs + len(pairs))))
    ordered = pairs.sort("received_at", "timestamp", "item_id", descending=True)
    place = pl.int_range(pl.len())
    by_user = place.over("user_id") >= cap
    unknown = ~pl.col("item_id").is_in(known_items.implode())
    by_item = unknown & (place.over("item_id") >= cap)
    over = ordered.with_columns(by_user=by_user, by_item=by_item)
    gone = over.filter(pl.col("by_user") | pl.col("by_item"))
    return Capped(
        events=events.join(gone, on=_PAIR, how="anti", maintain_order="left"),
        users=_counts(gone.filter("by_user")["user_id"]),
        items=_counts(gone.filter("by_item")["item_id"]),
    )


def _counts(ids: pl.Series) -> dict[str, int]:
    counted = ids.value_counts(name="pairs").sort("pairs", ids.name, descending=[True, False])
    return dict(counted.head(_MOST_NAMED).iter_rows())
