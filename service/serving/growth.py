"""A served model and the items that have been put since it was made.

`GrowingModel` follows the records in Redis. After each change it has a new snapshot, over the same
arrays: those of the artifact stay mapped, and rows of new items stand behind them. A row never
changes: an item whose content has changed gets a new row.

Letters: X new items.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import orjson
from anyio import to_thread

from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans, ColdItems, EncodedBy
from model.runtime.grown import GrowingRows
from model.runtime.half import rows_of
from model.runtime.item_encoder import ItemEncoder
from service.ops.process import beside_requests, with_pauses
from service.retrieval.exact import ExactRetriever
from service.retrieval.grown import GrowingBounds, GrownRetriever
from service.serving.catalogue import AddedItems, Catalogue
from service.serving.made_items import MADE_ROWS, MadeItems, content_of
from service.serving.overlay import Overlay
from service.serving.snapshot import Snapshot
from service.serving.source import OpenedModel
from service.store.hidden import hashes_of
from service.store.items import ItemStore

MOST_AT_ONCE = 500
"""Items after which what has been read so far is served: a tenth of a second without pauses."""
MOST_UNSERVED = 20_000
"""The same while nothing can be served yet: each time there is a new snapshot to be made."""
FEWEST_GONE = 10_000
"""Rows that may be gone before all rows are made anew, if they are the half of them as well."""

_logger = logging.getLogger(__name__)


class NewItemEncoder(Protocol):
    """Makes items of a model of their content."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Of the features of each content modality that it takes."""

    def encoded_by(self, record: ItemRecord) -> EncodedBy:
        """What an item would be made of."""

    def encode(self, records: Sequence[ItemRecord]) -> ColdItems:
        """New items. Blocking."""


class GrowingModel:
    """One loaded model, and its items up to a revision of the records."""

    def __init__(
        self, base: Snapshot, opened: OpenedModel, *, beside_requests: bool = True
    ) -> None:
        """Without added items yet; ArtifactError if its item encoder cannot be used.

        Args:
            base: the model as it was published.
            opened: what that was made of.
            beside_requests: whether others are being answered while it takes in what it lacks.
        """
        self.base = base
        self._items_until = base.manifest.items_until or base.created_at
        self._tensors = opened.tensors
        self._users = opened.users
        self.encoder: NewItemEncoder = ItemEncoder.of(
            opened.files,
            opened.tensors,
            base.manifest.modalities,
            CategoryMeans(opened.tensors, base.items.rows_of_category),
            with_pauses,
        )
        self._made = None if opened.folder is None else MadeItems(opened.folder, opened.tensors)
        self._beside_requests = beside_requests
        self._following = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        self.snapshot = self.base
        """The model with all items up to the revision."""
        self.revision = 0
        self._ahead = 0
        """The revision up to which items that were put one by one have been taken in."""
        self._is_whole = False
        self._is_behind = False
        self._ids: list[str] = []
        self._row_of = Overlay[str, int]()
        self._made_of: list[int] = []
        """Of each added row, a hash of the content that it was made of."""
        self._gone: list[int] = []
        self._by: list[EncodedBy] = []
        self._hashes = GrowingRows(np.empty(0, dtype=np.uint64))
        self._rows: dict[str, GrowingRows] = {}
        self._bounds = GrowingBounds(_templates(self.base), self.base.scorer.reach())

    async def follow(self, store: ItemStore) -> bool:
        """Take in what has changed first; whether there is a new snapshot. SourceUnavailable.

        That is all that has changed until the model has had all once. A thread works on it, with
        pauses. Its priority is that of requests: a thread of a lower one that waits for a processor
        with Python's lock in its hands keeps them waiting.
        """
        async with self._following:
            latest, follows = await store.revision(self.revision)
            if latest == self.revision:
                self._is_whole = self._beside_requests = True
                return False
            if not follows:  # the server was replaced, emptied, or has lost changes
                await store.drop_kept()
                self._begin()
            elif self._is_worn():
                self._begin()
            if not await self._hurry(store):
                await self._follow_some(store, latest)
            while not self._is_whole and self.revision < latest:
                await self._follow_some(store, latest)
            self._is_whole = self._beside_requests = True
            await self.prepare()
            return True

    async def _hurry(self, store: ItemStore) -> bool:
        """Take in what was put one by one behind many others; whether there was any.

        It waits no longer than those that are being taken in now; then it is the others' turn. With
        them it comes once more, and changes nothing.
        """
        if not self._is_behind:
            return False
        self._is_behind = False
        ids, self._ahead = await store.alone_since(max(self._ahead, self.revision))
        if ids:
            await self._take_in(await store.read(ids))
        return bool(ids)

    async def _follow_some(self, store: ItemStore, latest: int) -> None:
        texts: list[bytes] = []
        revision = self.revision
        most = MOST_AT_ONCE if self._beside_requests else MOST_UNSERVED
        while revision < latest and len(texts) < most:
            ids, until = await store.changed_since(revision)
            texts += await store.read(ids)
            revision = until if ids else latest
        await self._take_in(texts)
        self.revision = revision
        self._is_behind = self._is_whole and revision < latest

    async def _take_in(self, texts: Sequence[bytes]) -> None:
        work = partial(self.take_in, map(ItemRecord.parse, texts))
        pausing = partial(beside_requests, work)
        await to_thread.run_sync(pausing if self._beside_requests else work)

    async def look_back(self, store: ItemStore) -> None:
        """Take in what this machine has kept; all is read again as soon as Redis answers."""
        records = map(ItemRecord.parse, await store.kept())
        await to_thread.run_sync(self.take_in, records)

    async def prepare(self) -> None:
        """Know what is hidden among the items, before they are served."""
        await self._users.prepare(self.snapshot.items.ids)

    def _is_worn(self) -> bool:
        return len(self._gone) > max(FEWEST_GONE, len(self._ids) // 2)

    def take_in(self, records: Iterable[ItemRecord | None]) -> None:
        """Make a new snapshot with some records. Blocking; one call at a time."""
        changed: dict[int, bytes] = {}
        unmade: list[tuple[ItemRecord, int]] = []
        moved: dict[str, int | None] = {}
        for record in with_pauses(records):
            if record is None:
                continue
            row = self.base.items.ids.base.row(record.item_id)
            if row is not None:
                changed[row] = self._of_artifact(record, row)
                continue
            row = self._row_of.get(record.item_id)
            content = None if record.retired else content_of(record)
            if row is not None and content == self._made_of[row - len(self.base.items)]:
                changed[row] = orjson.dumps(record.over({}))
                continue
            moved[record.item_id] = None
            if row is not None:
                self._gone.append(row)
                changed[row] = b"{}"
            if content is not None:
                unmade.append((record, content))
        self._append(unmade, moved, changed)
        self._row_of = self._row_of.with_changes(moved)
        self._renew(changed)

    def _of_artifact(self, record: ItemRecord, row: int) -> bytes:
        """The metadata of an item of the artifact, with what training has not read over them."""
        text = self.base.items.metadata.raw(row)
        if record.updated_at <= self._items_until:
            return text
        return orjson.dumps(record.over(orjson.loads(text)))

    def _append(
        self,
        unmade: Sequence[tuple[ItemRecord, int]],
        moved: dict[str, int | None],
        changed: dict[int, bytes],
    ) -> None:
        """Make the rows of new items, each with the hash of its content."""
        if not unmade:
            return
        made = self._encoded(unmade)
        first = len(self.base.items) + len(self._ids)
        for row, (record, content) in enumerate(with_pauses(unmade), first):
            moved[record.item_id] = row
            changed[row] = orjson.dumps(record.over({}))
            self._ids.append(record.item_id)
            self._made_of.append(content)
        self._by += made.by
        added_ids = (record.item_id.encode() for record, _ in unmade)
        self._hashes.append(hashes_of(added_ids, len(unmade)))
        for name, rows_X in made.arrays().items():
            if name not in self._rows:
                self._rows[name] = GrowingRows(rows_of(self._tensors[name]))
            self._rows[name].append(rows_X)

    def _encoded(self, unmade: Sequence[tuple[ItemRecord, int]]) -> ColdItems:
        def make(places: Sequence[int]) -> ColdItems:
            return self.encoder.encode([unmade[place][0] for place in places])

        if self._made is None:
            return make(range(len(unmade)))
        return self._made.completed([content for _, content in unmade], make)

    def _renew(self, changed: Mapping[int, bytes]) -> None:
        base, count = self.base, len(self._ids)
        arrays = {
            name: self._rows[name].rows()
            if name in self._rows
            else rows_of(self._tensors[name])[:0]
            for name in MADE_ROWS
        }
        added = AddedItems(
            # Only appended to: what a snapshot sees of them never changes.
            ids=_First(self._ids, count),
            by=_First(self._by, count),
            hashes=self._hashes.rows(),
            row_of=self._row_of,
            gone_rows=np.array(sorted(self._gone), dtype=np.intp),
            arrays=arrays,
        )
        items: Catalogue = self.snapshot.items.grown(base.items, added, changed)
        self.snapshot = replace(self.snapshot, items=items)
        if not count:
            return
        templates_KM = _templates(base)
        scorer = base.scorer.of_items(arrays)
        retriever = GrownRetriever(
            base.chosen.retriever,
            ExactRetriever(scorer, arrays, templates_KM, bounds=self._bounds.of_rows(arrays)),
            num_base=len(base.items),
        )
        self.snapshot = replace(
            self.snapshot,
            scorer=base.scorer.grown_by(arrays),
            profiles=base.profiles.grown_by(arrays["item_foldin"]),
            chosen=replace(base.chosen, retriever=retriever),
        )


def _templates(base: Snapshot) -> list[list[float]]:
    return [expert.template for expert in base.manifest.experts]


class _First(Sequence[Any]):
    """The first of the entries of a list that grows behind them."""

    __slots__ = ("_entries", "_length")

    def __init__(self, entries: list[Any], length: int) -> None:
        self._entries = entries
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: Any) -> Any:
        return self._entries[range(self._length)[place]]
