"""Which items may be shown: one item asked for, shown or hidden, for every replica at once.

Knows keys and scripts; knows nothing about catalogues or HTTP. How replicas learn of a change
is in `hidden`.
"""

# FOLDED service/store/availability.py: Items that no answer may show, as last read, and their rows in a catalogue.
#
#   Knows when the set has to be read again; knows nothing about requests or scores.
#

import asyncio
from typing import Protocol

import numpy as np

from model.artifact.tables import IdTable
from model.runtime.top_k import Rows
from service.store.store import RedisStore


class HiddenItemsSource(Protocol):
    """Where the set is kept."""

    async def hidden_items(self) -> tuple[int, frozenset[str]]:
        """Revision and ids; SourceUnavailable."""


class HiddenItems:
    """One per process: it outlives model versions."""

    def __init__(self, source: HiddenItemsSource) -> None:
        self._source = source
        self._revision: int | None = None
        self._ids: frozenset[str] = frozenset()
        self._rows: tuple[IdTable, Rows] | None = None
        self._reading = asyncio.Lock()

    async def follow(self, revision: int) -> None:
        """Make sure that the set is not older than `revision`; SourceUnavailable.

        A revision that has gone back means another, or an emptied, server: read as well.
        """
        if revision == self._revision:
            return
        async with self._reading:
            if revision != self._revision:
                self._revision, self._ids = await self._source.hidden_items()
                self._rows = None

    def rows(self, table: IdTable) -> Rows:
        """The rows of those of them that a catalogue has."""
        known = self._rows
        if known is None or known[0] is not table:
            found = [table.row(item_id) for item_id in self._ids]
            rows = np.array(sorted(row for row in found if row is not None), dtype=np.intp)
            known = self._rows = (table, rows)
        return known[1]


_HIDE, _SHOW = (
    f"redis.call('{command}', KEYS[1], ARGV[1]); return redis.call('INCR', KEYS[2])"
    for command in ("SADD", "SREM")
)
"""Scripts rather than transactions: see `store`."""


class Availability:
    """The set of hidden items of one namespace. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def get(self, item_id: str) -> bool:
        """Whether an item may be shown."""
        with self._store.answering():
            hidden = await self._store.client.sismember(self._store.keys.unavailable, item_id)
        return not hidden

    async def put(self, item_id: str, *, available: bool) -> None:
        """Show or hide an item, from the next request on."""
        keys = self._store.keys
        change = _SHOW if available else _HIDE
        with self._store.answering():
            await self._store.client.eval(
                change, 2, keys.unavailable, keys.availability_revision, item_id
            )
