"""The items that nobody may be shown: as last read, and their rows in every catalogue.

A change costs what changed: it is read from a log in Redis, and moves a few rows.

An id is held as 64 bits of a hash. That one of a million items shares them with one of a million
hidden ones has a probability of 5e-8.

Letters: H hidden ids, I items of an artifact, X items that have been added.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from model.artifact.tables import IdTable
from model.registry.keys import KeySpace
from model.registry.revisions import RAISE
from model.runtime.top_k import Rows
from service.ops.process import in_background, with_pauses
from service.store.foreign import text_of
from service.store.local_state import LocalState
from service.store.logs import LOGGED, PAGE, PAUSE_SECONDS, LogEntry, LogFollower
from service.store.store import RedisStore

MERGED_FROM = 10_000
"""Changes that are kept beside the whole set before they are merged into it."""
Value = TypeVar("Value", np.uint64, np.intp)
Hashes = NDArray[np.uint64]
Changes = Mapping[str, bool]
"""Whether each of some ids is hidden now."""

CHANGE = f"""{RAISE}
local function set_hidden(set, revision, log, changes, step)
  local moved = {{}}
  for _, change in ipairs(changes) do
    local command = change[1] == 'hide' and 'SADD' or 'SREM'
    if redis.call(command, set, change[2]) == 1 then table.insert(moved, change) end
  end
  local last = raise(revision, #moved == 0 and 0 or step + #moved - 1, log)
  for place, change in ipairs(moved) do
    local number = string.format('%.0f', last - #moved + place)
    redis.call('XADD', log, 'MAXLEN', '~', {LOGGED}, number, change[1], change[2])
  end
  return #moved
end
"""
"""A function for scripts: hides and shows items; each that changes gets a revision and its place in
the log."""
_logger = logging.getLogger(__name__)

LOST = (
    "Redis has no record of hidden items, though some were hidden: those last known stay hidden "
    "until items are hidden or shown there; hide all of them again (`magnet hide --file FILE`)"
)


def hashes_of(ids: Iterable[bytes], count: int) -> Hashes:
    """The hashes of ids, in their order."""
    return np.fromiter(
        (int.from_bytes(blake2b(raw, digest_size=8).digest(), "little") for raw in ids),
        dtype=np.uint64,
        count=count,
    )


def is_among(wanted: NDArray[Any], ascending: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values stand in an ascending array."""
    if not len(ascending):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.searchsorted(ascending, wanted)
    return np.asarray(ascending[np.minimum(places, len(ascending) - 1)] == wanted)


def availability_keys(keys: KeySpace) -> tuple[str, str, str]:
    """The keys that `set_hidden` of `CHANGE` takes."""
    return keys.unavailable, keys.availability_revision, keys.availability_log


def with_and_without(
    ascending: NDArray[Value], more: NDArray[Value], less: NDArray[Value]
) -> NDArray[Value]:
    """Distinct ascending values with some more and without others; all without Python's lock."""
    less = np.sort(less)
    less = less[is_among(less, ascending)]
    if len(less):
        ascending = np.delete(ascending, np.searchsorted(ascending, less))
    more = np.sort(more)
    more = more[~is_among(more, ascending)]
    return np.insert(ascending, np.searchsorted(ascending, more), more) if len(more) else ascending


def _distinct(values: Hashes) -> Hashes:
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


class ItemTable(Protocol):
    """The ids of a catalogue: those of its artifact, and of what has been added."""

    @property
    def base(self) -> IdTable:
        """The ids of the artifact."""

    @property
    def gone_rows(self) -> Rows:
        """Rows behind the artifact's that no item has any more, ascending."""

    @property
    def added_hashes(self) -> Hashes:
        """Of the id of each row behind the artifact's."""

    def row(self, item_id: str) -> int | None:
        """The row of an id."""


class HiddenItems(LogFollower):
    """The hidden items as last read; one per process, for all model versions.

    Args:
        store: where they are.
        local: where they are kept on this machine, if anywhere.
    """

    what = "the hidden items"
    behind = "the hidden items are being read; until then those last known are hidden"

    def __init__(self, store: RedisStore, local: LocalState | None = None) -> None:
        super().__init__(store, store.keys.availability_revision, store.keys.availability_log)
        self._local = local
        self.known = False
        self._hashes: Hashes = np.empty(0, dtype=np.uint64)
        """Ascending."""
        self._later: dict[int, bool] = {}
        """By hash, what has been hidden and shown since."""
        self._rows: WeakKeyDictionary[ItemTable, Rows] = WeakKeyDictionary()
        self._missed: dict[ItemTable, dict[str, bool]] = {}
        """What has changed since the rows in a catalogue began to be looked up."""
        self._unmerged = False
        """Whether many changes wait on this machine."""

    def rows(self, items: ItemTable) -> Rows:
        """Their rows in a catalogue, and the rows that no item has any more, ascending."""
        rows = self._rows.get(items)
        if rows is None:  # nobody has prepared it
            rows = self._rows[items] = _rows_of(items, _merged(self._hashes, self._later))
        return rows

    async def prepare(self, items: ItemTable) -> None:
        """Look up the rows in a catalogue that is going to be served, beside requests."""
        while items not in self._rows:
            async with self._changing:
                await self._merge()
                hashes, base_rows = self._hashes, self._base_rows(items)
                self._missed[items] = {}
            try:
                rows = await in_background(partial(_rows_of, items, hashes, base_rows))
            finally:
                missed = self._missed.pop(items, None)
            if missed is not None:  # otherwise all were read anew meanwhile
                self._rows[items] = _moved(rows, items, missed)

    async def look_back(self) -> None:
        """Begin with what this machine has kept; it is read again as soon as Redis answers."""
        if self._local is not None and not self.known:
            hashes = await to_thread.run_sync(self._local.hidden)
            if hashes is not None:
                self._hashes, self.known = hashes, True

    async def tidy(self) -> None:
        """Merge the changes that this machine has kept, if they are many."""
        if self._local is None or self._revision is None:
            return
        revision, hashes = self._revision, None
        if self._unmerged:
            async with self._changing:
                await self._merge()
                revision, hashes, self._unmerged = self._revision, self._hashes, False
        await to_thread.run_sync(self._local.tidy, revision, hashes)

    async def close(self) -> None:
        """Read and write no longer."""
        await super().close()
        if self._local is not None:
            self._local.close()

    def _stays(self) -> bool:
        if not self.known or not (len(self._hashes) or self._later):
            return False
        self._note(LOST)
        return True

    async def _take_in(self, known: int, entries: Sequence[LogEntry]) -> None:
        hashes = hashes_of((each.id for each in entries), len(entries)).tolist()
        is_hidden = [each.what == b"hide" for each in entries]
        ids = [text_of(each.id, self._log[1]) for each in entries]
        changes = dict(zip(ids, is_hidden, strict=True))
        before = [known, *(each.revision for each in entries)]
        logged = [
            (each.revision, previous, raw, on)
            for each, previous, raw, on in zip(entries, before, hashes, is_hidden, strict=False)
        ]
        self._later |= dict(zip(hashes, is_hidden, strict=True))
        for missed in self._missed.values():
            missed |= changes
        await to_thread.run_sync(self._move, changes)
        if self._local is not None:
            self._unmerged = await to_thread.run_sync(self._local.log_hidden, logged)
        if len(self._later) > MERGED_FROM:
            await self._merge()

    def _move(self, changes: Changes) -> None:
        for items, rows in list(self._rows.items()):
            self._rows[items] = _moved(rows, items, changes)

    async def _merge(self) -> None:
        if self._later:
            self._hashes = await to_thread.run_sync(_merged, self._hashes, self._later)
            self._later = {}

    async def _read(self) -> None:
        """Read all of them. What changes meanwhile is in the log."""
        revision, _ = await self._store.log_from(self._log, 0, 1)
        parts: list[Hashes] = [np.empty(0, dtype=np.uint64)]
        cursor: int | None = 0
        while cursor is not None:
            cursor, ids = await self._store.hidden_page(cursor, PAGE)
            parts.append(hashes_of(ids, len(ids)))
            await asyncio.sleep(PAUSE_SECONDS)
        hashes = await in_background(lambda: _distinct(np.concatenate(parts)))
        rows: dict[ItemTable, Rows] = {}
        while left := [items for items in self._rows if items not in rows]:
            for items in left:
                rows[items] = await in_background(partial(_rows_of, items, hashes))
        async with self._changing:
            self._hashes, self._later = hashes, {}
            self._rows = WeakKeyDictionary(rows)
            self._missed.clear()
            self._revision, self.known = revision, True
            self._note(None)
            if self._local is not None:
                await to_thread.run_sync(self._local.replace_hidden, revision, hashes)
            await self._catch_up(revision)

    def _base_rows(self, items: ItemTable) -> Rows | None:
        """Their rows in the artifact, if another catalogue has the same one."""
        for other, rows in self._rows.items():
            if other.base is items.base:
                return rows[: np.searchsorted(rows, len(items.base))]
        return None


def _merged(hashes: Hashes, later: Mapping[int, bool]) -> Hashes:
    changed = np.fromiter(later, dtype=np.uint64, count=len(later))
    is_hidden = np.fromiter(later.values(), dtype=np.bool_, count=len(later))
    return with_and_without(hashes, changed[is_hidden], changed[~is_hidden])


def _rows_of(items: ItemTable, hashes: Hashes, base_rows: Rows | None = None) -> Rows:
    """The hidden rows of a catalogue, and those that are gone, ascending. Blocking.

    `base_rows`: those of the artifact, where they are known.
    """
    first = len(items.base)
    if base_rows is None:
        base_rows = np.empty(0, dtype=np.intp)
        if len(hashes):
            hash_I = hashes_of(with_pauses(map(items.base.raw, range(first))), first)
            base_rows = np.flatnonzero(is_among(hash_I, hashes))
    is_out_X = is_among(items.added_hashes, hashes)
    is_out_X[items.gone_rows - first] = True
    return np.concatenate([base_rows, np.flatnonzero(is_out_X) + first])


def _moved(rows: Rows, items: ItemTable, changes: Changes) -> Rows:
    """The hidden rows after some changes."""
    to_hide, to_show = set[int](), set[int]()
    for item_id, is_hidden in changes.items():
        row = items.row(item_id)
        if row is not None:
            (to_hide if is_hidden else to_show).add(row)
    hidden, shown = (
        np.fromiter(each, dtype=np.intp, count=len(each)) for each in (to_hide, to_show)
    )
    return with_and_without(rows, hidden, shown)
