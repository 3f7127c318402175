"""Items that no answer may show, as last read, and their rows in a catalogue.

Knows when the set has to be read again; knows nothing about requests or scores.
"""

import asyncio
from typing import Protocol

import numpy as np

from model.contract.strings import IdTable
from service.ranking import Rows


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
