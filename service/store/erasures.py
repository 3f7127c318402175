"""Erasing users: what Redis holds of them goes at once, and every process knows that they are gone.

An erasure is recorded first, in one step: from then on the user is unknown to every replica,
whatever is still stored. What follows can be repeated until it is done, by the same call or by
training. Scripts, not transactions: see `service.store.store`.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from anyio import to_thread
from pydantic_core import to_json

from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest
from model.artifact.stored import layout_of
from model.artifact.tables import BLANK
from model.registry.erasures import Erasure, all_of, hashed
from model.registry.records import EVENT_FIELD
from model.registry.revisions import RAISE, draw_step
from service.ops.process import with_pauses
from service.ops.pseudonyms import KEY_BYTES, Pseudonyms
from service.schemas.errors import SourceUnavailable
from service.store.foreign import REMEDY, checked, text_of
from service.store.local_state import LocalState
from service.store.logs import LOGGED, PAGE, PAUSE_SECONDS, LogEntry, LogFollower
from service.store.store import RedisStore, RowSpan

_PAGE = 1000
"""Waiting events that one call of the script looks at: about a millisecond of the server."""
_IDS = ("user_ids_blob", "user_ids_offsets", "seen_offsets")

_ADD = (
    checked("hash", "counter", "stream", "hash", "stream")
    + RAISE
    + f"local most = {LOGGED}"
    + """
local record = cjson.decode(ARGV[1])
local before = redis.call('HGET', KEYS[4], record.user_hash)
local usable, known = pcall(cjson.decode, before and redis.call('HGET', KEYS[1], before) or '')
if usable and type(known) == 'table' and known.user_id == record.user_id then
  record.erasure_id = known.erasure_id
end
record.number = string.format('%.0f', raise(KEYS[2], ARGV[2], KEYS[5]))
local text = cjson.encode(record)
redis.call('HSET', KEYS[1], record.erasure_id, text)
redis.call('HSET', KEYS[4], record.user_hash, record.erasure_id)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', most, record.number, 'erased', record.user_hash)
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
return {text, newest and newest[1] or false}
"""
)
"""Records an erasure, in place of one of the same user that waits. Also tells the last event that
had come by then."""
_FORGET_EVENTS = (
    checked("stream", "zset")
    + """
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
for _, entry in ipairs(entries) do
  for place = 1, #entry[2], 2 do
    local text = entry[2][place + 1]
    if entry[2][place] == 'event' and string.find(text, ARGV[4], 1, true) then
      local usable, event = pcall(cjson.decode, text)
      if usable and event.user_id == ARGV[5] then
        redis.call('XDEL', KEYS[1], entry[1])
        redis.call('ZREM', KEYS[2], event.event_id)
      end
    end
  end
end
if #entries == tonumber(ARGV[3]) then return entries[#entries][1] end
"""
)
_OVERWRITE = """
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
end
"""
"""A version may be pruned meanwhile; SETRANGE would bring its key back."""

assert f"'{EVENT_FIELD}'" in _FORGET_EVENTS


class Erased(LogFollower):
    """Who is to be forgotten, as last read; one per process, for all model versions.

    Args:
        store: where that is recorded.
        local: where it is kept on this machine, if anywhere.
        pseudonyms: gets the namespace's key.
    """

    what = "the erasures"
    behind = "the erasures are being read; until then those last known are forgotten"

    def __init__(
        self,
        store: RedisStore,
        local: LocalState | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        super().__init__(store, store.keys.erasures_revision, store.keys.erasures_log)
        self._local = local
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._key = b""
        self._numbers: dict[str, int] = {}
        """The latest erasure of each user, by hash."""
        self.forget: Callable[[Callable[[str], bool]], Awaitable[None]] = _nothing_else
        """Forgets what else is known here of further users, who are told by their ids."""

    def since(self, user_id: str, number: int) -> bool:
        """Whether a user was erased after the erasure of that number."""
        if not self._numbers:
            return False
        return self._numbers.get(hashed(user_id, self._key), 0) > number

    async def share_key(self) -> None:
        """Take the namespace's key, which is made if there is none; SourceUnavailable."""
        key = self._pseudonyms.key = await hash_key(self._store)
        if key != self._key:
            self._revision = None  # hashes are others now

    async def look_back(self) -> None:
        """Begin with what this machine has kept."""
        if self._local is not None and self._revision is None:
            self._key, self._numbers = await to_thread.run_sync(self._local.erased)

    def _stays(self) -> bool:
        """Whoever was erased stays so."""
        return True

    async def _take_in(self, known: int, entries: Sequence[LogEntry]) -> None:  # noqa: ARG002
        hashes = [text_of(each.id, self._log[1]) for each in entries]
        numbers = {of: each.revision for of, each in zip(hashes, entries, strict=True)}
        await self._add(numbers, anew=False)

    async def _read(self) -> None:
        revision, _ = await self._store.log_from(self._log, 0, 1)
        key = await hash_key(self._store)
        numbers: dict[str, int] = {}
        cursor: int | None = 0
        while cursor is not None:
            cursor, stored = await self._store.erasures_page(cursor, PAGE)
            for each in await to_thread.run_sync(all_of, with_pauses(stored)):
                numbers[each.user_hash] = max(each.number, numbers.get(each.user_hash, 0))
            await asyncio.sleep(PAUSE_SECONDS)
        async with self._changing:
            self._key = key
            await self._add(numbers, anew=True)
            self._revision = revision
            self._note(None)
            await self._catch_up(revision)

    async def _add(self, numbers: Mapping[str, int], *, anew: bool) -> None:
        """Take over the latest erasure of some users, or of all that there are."""
        if anew:
            self._numbers = {}
        self._numbers.update(numbers)
        if self._local is not None:
            await to_thread.run_sync(partial(self._local.put_erased, self._key, numbers, anew=anew))
        key = self._key
        await self.forget(lambda user_id: hashed(user_id, key) in numbers)


async def _nothing_else(_is_erased: Callable[[str], bool]) -> None:
    """Nothing else is known here."""


async def hash_key(store: RedisStore) -> bytes:
    """The namespace's key of user hashes, made if there is none; SourceUnavailable."""
    client: Any = store.client
    name = store.keys.user_hash_key
    with store.answering(name):
        while (key := await client.get(name)) is None:
            await client.set(name, secrets.token_bytes(KEY_BYTES), nx=True)
    if len(key) != KEY_BYTES:
        raise SourceUnavailable(f"{name} has {len(key)} bytes instead of {KEY_BYTES}; {REMEDY}")
    return bytes(key)


class Erasures:
    """Erases users of one namespace."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def erase(self, user_id: str) -> Erasure:
        """Forget a user: all that Redis holds, but for ids in tables of published versions.

        Raises:
            SourceUnavailable: Redis does not answer; the same call may be repeated.
        """
        keys, client = self._store.keys, self._store.bulk_client
        key = await hash_key(self._store)
        wanted = Erasure(
            erasure_id=uuid4().hex,
            number=0,
            user_hash=hashed(user_id, key),
            user_id=user_id,
            requested_at=datetime.now(UTC),
        )
        names = (
            keys.erasures,
            keys.erasures_revision,
            keys.feedback,
            keys.erasures_by_user,
            keys.erasures_log,
        )
        with self._store.writing(as_one=False):
            text, newest = await client.eval(
                _ADD, len(names), *names, wanted.model_dump_json(), draw_step()
            )
            recorded = Erasure.model_validate_json(text)
            await client.unlink(keys.live(user_id))
        if newest is not None:
            await self._forget_events(user_id, newest)
        for version in await self._versions():
            await self._overwrite(version, user_id)
        return recorded

    async def _forget_events(self, user_id: str, newest: bytes) -> None:
        """Remove the user's events that wait for training, up to one."""
        names = (self._store.keys.feedback, self._store.keys.feedback_ids)
        start: bytes | None = b"-"
        while start is not None:
            arguments = (start, newest, _PAGE, to_json(user_id), user_id)
            with self._store.writing():
                last = await self._store.bulk_client.eval(
                    _FORGET_EVENTS, len(names), *names, *arguments
                )
            start = None if last is None else b"(" + last

    async def _versions(self) -> Sequence[str]:
        """All that may be served, now or after a roll-back."""
        wanted = await self._store.wanted()
        client: Any = self._store.bulk_client
        with self._store.answering(self._store.keys.versions):
            stored = await client.zrange(self._store.keys.versions, 0, -1)
        canary = None if wanted.canary is None else wanted.canary.version
        known = [text_of(version, self._store.keys.versions) for version in stored]
        named = {*known, wanted.live, canary}
        return sorted(version for version in named if version is not None)

    async def _overwrite(self, version: str, user_id: str) -> None:
        """Write zeros over a user's rows in a version, if it is whole and has the user."""
        try:
            manifest = await self._store.manifest(version)
            await self._store.check_present(manifest, _IDS)
        except ArtifactError:
            return  # nobody can be served from it
        row = await self._row(manifest, user_id.encode())
        if row is None:
            return
        first, stop = await self._integers(manifest, "seen_offsets", row)
        spans = (
            RowSpan("user_embeddings", layout_of(manifest, "user_embeddings"), row, row + 1),
            RowSpan("seen_items", layout_of(manifest, "seen_items"), first, stop),
        )
        for span in spans:
            for chunk, begin, last in span.pieces():
                key = self._store.keys.chunk(version, span.blob, chunk)
                zeros = bytes(last + 1 - begin)
                with self._store.writing():
                    await self._store.bulk_client.eval(_OVERWRITE, 1, key, begin, zeros)

    async def _row(self, manifest: ArtifactManifest, raw: bytes) -> int | None:
        """The row of an id, found as `IdTable` does it, some 25 reads for ten million users."""
        low, high = 0, manifest.num_users
        while low < high:
            middle = (low + high) // 2
            if await self._place(manifest, middle) < raw:
                low = middle + 1
            else:
                high = middle
        found = low < manifest.num_users and await self._place(manifest, low) == raw
        return low if found else None

    async def _place(self, manifest: ArtifactManifest, row: int) -> bytes:
        """The id of a row; that before it if it was blanked."""
        while row >= 0:
            start, stop = await self._integers(manifest, "user_ids_offsets", row)
            span = RowSpan("user_ids_blob", layout_of(manifest, "user_ids_blob"), start, stop)
            raw = await self._bytes(manifest, span)
            if not raw.startswith(bytes([BLANK])):
                return raw
            row -= 1
        return b""

    async def _integers(self, manifest: ArtifactManifest, blob: str, row: int) -> tuple[int, int]:
        """Two neighbours of an array of 64-bit integers."""
        data = await self._bytes(manifest, RowSpan(blob, layout_of(manifest, blob), row, row + 2))
        return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

    async def _bytes(self, manifest: ArtifactManifest, span: RowSpan) -> bytes:
        (data,), _ = await self._store.read(manifest.model_version, [span], None)
        return data
