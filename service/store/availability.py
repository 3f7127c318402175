"""Which items may be shown, for every replica at once: the hidden ones are a set in Redis."""

import asyncio

import numpy as np

from model.artifact.tables import IdTable
from model.runtime.top_k import Rows
from service.store.store import RedisStore


class HiddenItems:
    """The hidden items as last read. One per process: the set outlives model versions."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._revision: int | None = None
        self._ids: frozenset[str] = frozenset()
        self._rows: tuple[IdTable, Rows] | None = None
        self._reading = asyncio.Lock()

    async def follow(self, revision: int) -> None:
        """Read the set again if its revision is another one; SourceUnavailable.

        A revision also changes when the server is replaced or emptied.
        """
        if revision == self._revision:
            return
        async with self._reading:
            if revision != self._revision:
                self._revision, self._ids = await self._store.hidden_items()
                self._rows = None

    def rows(self, table: IdTable) -> Rows:
        """Their rows in a catalogue; items that it does not have are left out."""
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
"""Scripts rather than transactions: see `service.store.store`."""


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
