"""Items that are put while a model is served: written for every replica and for training.

A change is one script: a record is never without its revision, nor hidden without being marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from model.registry.items import ItemRecord
from model.registry.revisions import draw_step
from service.store.foreign import LAST_REVISION, checked, text_of
from service.store.hidden import CHANGE, availability_keys
from service.store.local_state import LocalState
from service.store.store import RedisStore

READ_AT_ONCE = 200
"""Records of one round trip: half a megabyte with features."""
LOGGED = 10_000
"""Revisions that their log holds, about: so many single items, or a million of bulk calls."""
LOOKED_THROUGH = 1_000
"""Revisions in one round trip, of 100,000 items in bulk calls: a few milliseconds."""
PUT_AT_ONCE = 100
"""Items of one script. The server answers nobody else while it runs: 1 ms (docs/adr/0030)."""

_CHECKED = checked("hash", "zset", "counter", "set", "counter", "stream", "stream")
_PUT = (
    CHANGE
    + f"local most = {LOGGED}"
    + """
local revision = raise(KEYS[3], ARGV[1], KEYS[7])
local number = string.format('%.0f', revision)
local alone = #ARGV == 4 and ARGV[2] or ''
redis.call('XADD', KEYS[7], 'MAXLEN', '~', most, number, 'alone', alone)
local made, changes = 0, {}
for place = 2, #ARGV, 3 do
  local id, mark = ARGV[place], ARGV[place + 2]
  if mark == 'keep' then
    local before = redis.call('HGET', KEYS[1], id)
    if before and string.find(before, '"retired":true', 1, true) then mark = 'show' end
  end
  made = made + redis.call('HSET', KEYS[1], id, ARGV[place + 1])
  redis.call('ZADD', KEYS[2], revision, id)
  if mark ~= 'keep' then table.insert(changes, {mark, id}) end
end
set_hidden(KEYS[4], KEYS[5], KEYS[6], changes, ARGV[1])
return {revision, made}
"""
)
"""Puts all of some items or none: a server without memory refuses the first write. One that was
deleted is shown again. Inside a text, JSON has a backslash before each quotation mark."""
_REVISION = (
    checked("counter", "stream")
    + """
local known = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])
return {redis.call('GET', KEYS[1]), #known}
"""
)
_REPLACE = "if (redis.call('HGET', KEYS[1], ARGV[2]) or '') ~= table.remove(ARGV) then return end"


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
            keys.items_log,
        )

    async def put(self, arguments: Sequence[str]) -> Written:
        """Write items: the `ItemPut.arguments` of each, one after the other.

        If the server fails meanwhile, some of the first have been written.
        """
        revision = new = 0
        step = 3 * PUT_AT_ONCE
        for start in range(0, len(arguments), step):
            part = arguments[start : start + step]
            with self._store.writing():
                revision, made = await self._store.bulk_client.eval(
                    _CHECKED + _PUT, len(self._keys), *self._keys, draw_step(), *part
                )
            new += made
        return Written(revision, new)

    async def get(self, item_id: str) -> tuple[bytes, ItemRecord | None]:
        """The record of an item as it is stored, and read; empty and None if there is none."""
        client: Any = self._store.client
        key = self._store.keys.items
        with self._store.answering(key):
            text = await client.hget(key, item_id)
        return (b"", None) if text is None else (text, ItemRecord.parse(text))

    async def replace(self, before: bytes, put: ItemPut) -> Written | None:
        """Write one item unless its stored record is another than `before`; None if it is."""
        with self._store.writing():
            arguments = (draw_step(), *put.arguments(), before)
            done = await self._store.client.eval(
                _CHECKED + _REPLACE + _PUT, len(self._keys), *self._keys, *arguments
            )
        return None if done is None else Written(*done)

    async def revision(self, known: int) -> tuple[int, bool]:
        """Of the latest change, 0 before the first; and whether it came after the one of `known`.

        Not if the server has lost that one, or if too many have come since.
        """
        keys = self._store.keys
        with self._store.answering():
            latest, found = await self._store.client.eval(
                _REVISION, 2, keys.items_revision, keys.items_log, known
            )
            return int(latest or 0), bool(found) or not known

    async def alone_since(self, revision: int) -> tuple[list[str], int]:
        """Ids of the items that were put one by one after a revision, among the next changes.

        Then the revision of the last of those changes; the same as before if there is none.
        """
        client: Any = self._store.bulk_client
        key = self._store.keys.items_log
        with self._store.answering(key):
            found = await client.xrange(key, min=f"({revision}", count=LOOKED_THROUGH)
            ids = [text_of(entry[b"alone"], key) for _, entry in found if entry.get(b"alone")]
            until = int(found[-1][0].partition(b"-")[0]) if found else revision
        return [*dict.fromkeys(ids)], until

    async def changed_since(self, revision: int) -> tuple[list[str], int]:
        """Ids of the items that were changed first after a revision, the oldest change first.

        They are as many as can be read at once, or those of one change. Then the revision up to
        which there is no other; the same as before if there is none at all.
        """
        found = await self._changes(f"({revision}", LAST_REVISION, num=READ_AT_ONCE)
        if len(found) == READ_AT_ONCE:  # the last change may have more
            latest = found[-1][1]
            earlier = [each for each in found if each[1] < latest]
            found = earlier or await self._changes(latest, latest)
        ids = [text_of(item_id, self._store.keys.item_changes) for item_id, _ in found]
        return ids, int(found[-1][1]) if found else revision

    async def _changes(
        self, first: float | str, last: float | str, num: int | None = None
    ) -> list[tuple[bytes, float]]:
        """Ids with their revisions, at most `num`."""
        client: Any = self._store.bulk_client
        offset = None if num is None else 0
        key = self._store.keys.item_changes
        with self._store.answering(key):
            found: list[tuple[bytes, float]] = await client.zrange(
                key,
                first,
                last,
                byscore=True,
                withscores=True,
                offset=offset,
                num=num,
            )
        return found

    async def read(self, item_ids: Sequence[str]) -> list[bytes]:
        """The stored records of some items; a missing one is left out."""
        client: Any = self._store.bulk_client
        records: dict[str, bytes] = {}
        for start in range(0, len(item_ids), READ_AT_ONCE):
            part = list(item_ids[start : start + READ_AT_ONCE])
            with self._store.answering(self._store.keys.items):
                found = await client.hmget(self._store.keys.items, part)
            pairs = zip(part, found, strict=True)
            records |= {item_id: text for item_id, text in pairs if text is not None}
        if self._local is not None and records:
            await to_thread.run_sync(self._local.put_items, records)
        return [*records.values()]

    async def kept(self) -> list[bytes]:
        """The records that this machine has kept."""
        return [] if self._local is None else await to_thread.run_sync(self._local.items)

    async def drop_kept(self) -> None:
        """Keep none of what was read: it was another server's."""
        if self._local is not None:
            await to_thread.run_sync(self._local.drop_items)
