"""The items of one model version: ids, metadata, popularity, and vectors.

Rows of the artifact come first. Behind them stand items that were put while it is served; a
catalogue that has grown is a new one over the same arrays.

Letters: I items, V views, M modalities, D dimension.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from model.artifact.tables import IdTable, StringTable
from model.runtime.cold_items import EncodedBy
from model.runtime.derived import Arrays, Keep, unkept
from model.runtime.grown import Grown, GrownRows
from model.runtime.half import HalfRows, rows_of
from service.ops.process import with_pauses
from service.serving.attributes import Attributes
from service.serving.columns import Columns, RowsOfCategory
from service.serving.labels import Label
from service.serving.overlay import Overlay
from service.store.hidden import Hashes

KEPT_LABELS = 16_384
"""About 500 bytes each: 8 MB in every worker, however large the catalogue."""
_POPULAR_ORDER = "popular_order"
_serials = itertools.count()
_NO_HASHES: Hashes = np.empty(0, dtype=np.uint64)
_NO_ROWS: NDArray[np.intp] = np.empty(0, dtype=np.intp)


class ItemIds:
    """The id of every row, and the row of every id."""

    __slots__ = (
        "__weakref__",
        "_added",
        "_base_row",
        "_row_of",
        "added_hashes",
        "base",
        "gone_rows",
    )

    def __init__(
        self,
        base: IdTable,
        added: Sequence[str] = (),
        row_of: Overlay[str, int] | None = None,
        gone_rows: NDArray[np.intp] = _NO_ROWS,
        added_hashes: Hashes = _NO_HASHES,
    ) -> None:
        self.base = base
        """Those of the artifact."""
        self.gone_rows = gone_rows
        """Rows behind the artifact's whose item was deleted, or has a newer row."""
        self.added_hashes = added_hashes
        """Of the id of each row behind the artifact's (`service.store.hidden`)."""
        self._added = added
        self._base_row = lru_cache(KEPT_LABELS)(base.row)
        self._row_of = Overlay[str, int]() if row_of is None else row_of

    def __len__(self) -> int:
        return len(self.base) + len(self._added)

    def __getitem__(self, row: int) -> str:
        first = len(self.base)
        return self.base[row] if row < first else self._added[row - first]

    def row(self, item_id: str) -> int | None:
        """The row of an id, or None for one that is not here."""
        row = self._row_of.get(item_id)
        return self._base_row(item_id) if row is None else row


class ItemMetadata:
    """The JSON object of every row."""

    __slots__ = ("_changed", "base")

    def __init__(self, base: StringTable, changed: Overlay[int, bytes] | None = None) -> None:
        self.base = base
        self._changed = Overlay[int, bytes]() if changed is None else changed

    def raw(self, row: int) -> bytes:
        """Its bytes."""
        changed = self._changed.get(row)
        return self.base.raw(row) if changed is None else changed

    def changed(self, row: int) -> bytes | None:
        """Its bytes if they are not the artifact's."""
        return self._changed.get(row)

    def with_changes(self, changed: Mapping[int, bytes]) -> "ItemMetadata":
        """The same but for some rows."""
        return ItemMetadata(self.base, self._changed.with_changes(changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedItems:
    """All items behind the artifact's."""

    ids: Sequence[str]
    row_of: Overlay[str, int]
    gone_rows: NDArray[np.intp]
    by: Sequence[EncodedBy]
    """What each was made of."""
    hashes: Hashes
    """Of their ids."""
    arrays: Mapping[str, NDArray[Any]]
    """Their part of an artifact's tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every item; a row means the same item in each array."""

    ids: ItemIds
    metadata: ItemMetadata
    popularity_I: Grown
    popular_order_I: Grown
    """Rows, most popular first; of equals, the lower row first."""
    bias_I: Grown
    embeddings_IVMD: Grown
    foldin_IVMD: Grown
    rows_of_category: RowsOfCategory
    attributes: Attributes
    label: Callable[[int], Label]
    """What a row is called; cached for items shown lately."""
    by: Sequence[EncodedBy] = ()
    """What each item behind the artifact's was made of."""
    serial: int = field(default_factory=_serials.__next__)
    """No two catalogues of a process have the same."""
    _popular: list[NDArray[np.float32]] = field(init=False, default_factory=list)
    """What `popularity_bias` has made, once it was asked for."""

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]], keep: Keep = unkept) -> Self:
        """Build from the tensors of an artifact; ArtifactError if they are not usable.

        Args:
            tensors: by name.
            keep: keeps what follows from them.
        """
        metadata = StringTable(tensors["item_metadata_blob"], tensors["item_metadata_offsets"])
        ids = IdTable(tensors["item_ids_blob"], tensors["item_ids_offsets"])

        def arrays() -> Arrays:
            order_I = np.argsort(-tensors["item_popularity"], kind="stable").astype(np.int32)
            return {_POPULAR_ORDER: order_I, **Columns.of(metadata).arrays()}

        kept = keep("catalogue-1", arrays)
        columns = Columns.of_arrays(kept)
        return cls(
            ids=ItemIds(ids),
            metadata=ItemMetadata(metadata),
            popularity_I=tensors["item_popularity"],
            popular_order_I=kept[_POPULAR_ORDER],
            bias_I=tensors["item_bias"],
            embeddings_IVMD=rows_of(tensors["item_embeddings"]),
            foldin_IVMD=rows_of(tensors["item_foldin"]),
            rows_of_category=columns.rows_of_category,
            attributes=columns.attributes,
            label=lru_cache(KEPT_LABELS)(lambda row: Label.of(ids[row], _title(metadata.raw(row)))),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_base(self) -> int:
        """Items of the artifact."""
        return len(self.ids.base)

    def popularity_bias(self) -> NDArray[np.float32]:
        """What popularity adds to every score [I]; to a new item's, as to the least popular's."""
        if not self._popular:
            bias_I, chosen_I = np.asarray(self.bias_I), np.asarray(self.popularity_I) > 0
            least = bias_I[chosen_I].min() if chosen_I.any() else np.float32(0)
            self._popular.append(np.where(chosen_I, bias_I, least))
        return self._popular[0]

    def title(self, row: int) -> str | None:
        """The title of an item, None if unknown."""
        return _title(self.metadata.raw(row))

    def record(self, row: int) -> dict[str, Any]:
        """The metadata of an item."""
        record: dict[str, Any] = orjson.loads(self.metadata.raw(row))
        return record

    def rows(self, item_ids: Sequence[str]) -> tuple[NDArray[np.intp], list[str]]:
        """Rows of the known ids, each once, in the order of their last mention; and unknown ids."""
        if not item_ids:  # the usual request names none
            return _NO_ROWS, []
        known: dict[int, None] = {}
        missing: dict[str, None] = {}
        for item_id in item_ids:
            row = self.ids.row(item_id)
            if row is None:
                missing[item_id] = None
            else:
                known.pop(row, None)
                known[row] = None
        return np.fromiter(known, dtype=np.intp, count=len(known)), list(missing)

    def rows_in_any(self, categories: Iterable[str]) -> NDArray[np.intp]:
        """Rows of the items that are in at least one of the categories."""
        rows = [self.rows_of_category[name] for name in categories if name in self.rows_of_category]
        return np.unique(np.concatenate(rows)).astype(np.intp) if rows else _NO_ROWS

    def grown(self, base: "Catalogue", added: AddedItems, changed: Mapping[int, bytes]) -> Self:
        """This catalogue with the items that were put up to now. Blocking.

        Args:
            base: that of the artifact alone.
            added: all items behind the artifact's.
            changed: metadata of rows that are new or have changed since this catalogue; that of a
                row that is gone is `{}`.
        """
        metadata = self.metadata.with_changes(changed)
        first, count = len(base), len(added.ids)
        base_ids, base_label = base.ids.base, base.label

        def label(row: int) -> Label:
            text = metadata.changed(row)
            if text is None:
                return base_label(row)
            item_id = base_ids[row] if row < first else added.ids[row - first]
            return Label.of(item_id, _title(text))

        arrays = added.arrays
        records = {row: orjson.loads(text) for row, text in with_pauses(changed.items())}
        return replace(
            self,
            ids=ItemIds(base_ids, added.ids, added.row_of, added.gone_rows, added.hashes),
            metadata=metadata,
            popularity_I=_behind(base.popularity_I, np.zeros(count, dtype=np.int64)),
            popular_order_I=_behind(
                base.popular_order_I, np.arange(first, first + count, dtype=np.int32)
            ),
            bias_I=_behind(base.bias_I, arrays["item_bias"]),
            embeddings_IVMD=_behind(base.embeddings_IVMD, arrays["item_embeddings"]),
            foldin_IVMD=_behind(base.foldin_IVMD, arrays["item_foldin"]),
            rows_of_category=self._moved(records),
            attributes=self.attributes.changed(records),
            label=label,
            by=added.by,
            serial=next(_serials),
        )

    def _moved(self, records: Mapping[int, Mapping[str, Any]]) -> RowsOfCategory:
        """The rows of every category after some rows have changed."""
        left: defaultdict[str, list[int]] = defaultdict(list)
        joined: defaultdict[str, list[int]] = defaultdict(list)
        for row, record in with_pauses(records.items()):
            before = set(_categories(self.record(row))) if row < len(self) else set()
            after = set(_categories(record))
            for category in before - after:
                left[category].append(row)
            for category in after - before:
                joined[category].append(row)
        rows = dict(self.rows_of_category)
        for category in left.keys() | joined.keys():
            kept = rows.get(category, _NO_ROWS)
            kept = np.setdiff1d(kept, left[category], assume_unique=True)
            rows[category] = np.union1d(kept, joined[category]).astype(np.int32)
        return {category: rows_C for category, rows_C in rows.items() if len(rows_C)}


def _behind(base: Grown, added: NDArray[Any]) -> GrownRows:
    assert not isinstance(base, GrownRows)
    return GrownRows(base if isinstance(base, HalfRows) else np.asarray(base), added)


def _title(text: bytes) -> str | None:
    title: str | None = orjson.loads(text).get("title")
    return title


def _categories(record: Mapping[str, Any]) -> list[str]:
    categories: list[str] = record.get("categories", [])
    return categories
