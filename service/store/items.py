"""Items that are put while a model is served: written for every replica and for training.

A change is one script: a record is never without its revision, nor hidden without being marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from model.registry.items import ItemRecord
from service.store.hidden import CHANGE, availability_keys
from service.store.local_state import LocalState
from service.store.store import RedisStore

READ_AT_ONCE = 500
"""Records of one round trip: about a megabyte with features."""

_PUT = (
    CHANGE
    + """
local revision = redis.call('INCR', KEYS[3])
local made, changes = 0, {}
for place = 1, #ARGV, 3 do
  local id, mark = ARGV[place], ARGV[place + 2]
  if mark == 'keep' then
    local before = redis.call('HGET', KEYS[1], id)
    if before and string.find(before, '"retired":true', 1, true) then mark = 'show' end
  end
  made = made + redis.call('HSET', KEYS[1], id, ARGV[place + 1])
  redis.call('ZADD', KEYS[2], revision, id)
  if mark ~= 'keep' then table.insert(changes, {mark, id}) end
end
set_hidden(KEYS[4], KEYS[5], KEYS[6], changes)
return {revision, made}
"""
)
"""Puts all items of a call or none: a server without memory refuses the first write. One that was
deleted is shown again. Inside a text, JSON has a backslash before each quotation mark."""
_REPLACE = "if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= table.remove(ARGV) then return end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPut:
    """One item to write."""

    record: ItemRecord
    available: bool | None
    """Whether it may be shown; None leaves that as it is."""

    def arguments(self) -> tuple[str, str, str]:
        """As the script takes it."""
        mark = "keep" if self.available is None else "show" if self.available else "hide"
        return self.record.item_id, self.record.dump(), mark


@dataclass(frozen=True, slots=True)
class Written:
    """What a change did."""

    revision: int
    new: int
    """Items that had no record."""


class ItemStore:
    """The records of one namespace. Whatever asks Redis raises SourceUnavailable.

    `local`: where what was read is kept on this machine, if anywhere.
    """

    def __init__(self, store: RedisStore, local: LocalState | None = None) -> None:
        self._store = store
        self._local = local
        keys = store.keys
        self._keys = (
            keys.items,
            keys.item_changes,
            keys.items_revision,
            *availability_keys(keys),
        )

    async def put(self, arguments: Sequence[str]) -> Written:
        """Write items, all or none: the `ItemPut.arguments` of each, one after the other."""
        with self._store.writing():
            revision, new = await self._store.bulk_client.eval(
                _PUT, len(self._keys), *self._keys, *arguments
            )
        return Written(revision, new)

    async def get(self, item_id: str) -> tuple[bytes, ItemRecord | None]:
        """The record of an item as it is stored, and read; empty and None if there is none."""
        client: Any = self._store.client
        with self._store.answering():
            text = await client.hget(self._store.keys.items, item_id)
        return (b"", None) if text is None else (text, ItemRecord.parse(text))

    async def replace(self, before: bytes, put: ItemPut) -> Written | None:
        """Write one item unless its stored record is another than `before`; None if it is."""
        with self._store.writing():
            done = await self._store.client.eval(
                _REPLACE + _PUT, len(self._keys), *self._keys, *put.arguments(), before
            )
        return None if done is None else Written(*done)

    async def revision(self) -> int:
        """Of the latest change; 0 before the first."""
        with self._store.answering():
            return int(await self._store.client.get(self._store.keys.items_revision) or 0)

    async def changed_since(self, revision: int) -> tuple[list[str], int]:
        """Ids of the items that were changed after a revision, the oldest change first.

        Then the revision up to which that is so.
        """
        client: Any = self._store.bulk_client
        with self._store.answering():
            found = await client.zrange(
                self._store.keys.item_changes,
                f"({revision}",
                "+inf",
                byscore=True,
                withscores=True,
            )
        ids = [item_id.decode() for item_id, _ in found]
        return ids, int(found[-1][1]) if found else revision

    async def read(self, item_ids: Sequence[str]) -> list[bytes]:
        """The stored records of some items, at most `READ_AT_ONCE`; a missing one is left out."""
        if not item_ids:
            return []
        client: Any = self._store.bulk_client
        with self._store.answering():
            found = await client.hmget(self._store.keys.items, list(item_ids))
        records = {
            item_id: text for item_id, text in zip(item_ids, found, strict=True) if text is not None
        }
        if self._local is not None:
            await to_thread.run_sync(self._local.put_items, records)
        return [*records.values()]

    async def kept(self) -> list[bytes]:
        """The records that this machine has kept."""
        return [] if self._local is None else await to_thread.run_sync(self._local.items)

    async def drop_kept(self) -> None:
        """Keep none of what was read: it was another server's."""
        if self._local is not None:
            await to_thread.run_sync(self._local.drop_items)
