"""What all replicas share through Redis beside models: hidden items, default rules, feedback.

Changes are scripts, not transactions: see `service.store.store`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from pydantic_core import to_json

from model.registry.records import EVENT_FIELD, FeedbackEvent
from model.registry.revisions import draw_step
from service.schemas.errors import FeedbackFull, UnknownItem
from service.schemas.rules import NO_RULES, Rules
from service.store.connection import usable
from service.store.foreign import checked, or_else, tell
from service.store.hidden import CHANGE, availability_keys
from service.store.live_events import LIVE
from service.store.local_state import LocalState
from service.store.store import RedisStore

REMEMBERED_MS = 48 * 3600 * 1000
"""How long a repeated event id is recognised here: longer than any client retries, and longer than
one missed nightly run. Training recognises it for ever."""

_PUT = (
    checked("set", "counter", "stream", "hash")
    + CHANGE
    + """
local changes = {}
for _, id in ipairs(cjson.decode(ARGV[2])) do
  local record = ARGV[1] == 'show' and redis.call('HGET', KEYS[4], id)
  if record and string.find(record, '"retired":true', 1, true) then return id end
  table.insert(changes, {ARGV[1], id})
end
return set_hidden(KEYS[1], KEYS[2], KEYS[3], changes, ARGV[3])
"""
)
"""Hides or shows all of some items, or none, and then names one that was deleted."""
_APPEND = (
    checked("stream", "zset")
    + """
local waiting = redis.call('XLEN', KEYS[1])
local arrived, fresh, places = {}, {}, {}
for place = 3, #ARGV, 2 do
  local id = ARGV[place]
  arrived[id] = arrived[id] or redis.call('ZSCORE', KEYS[2], id)
  if not arrived[id] and not places[id] then
    places[id] = place
    table.insert(fresh, place)
  end
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local fits = waiting + #fresh <= tonumber(ARGV[1])
for _, place in ipairs(fresh) do
  local at = string.format('%d', now)
  if fits then
    local entry = redis.call('XADD', KEYS[1], '*', 'event', ARGV[place + 1])
    local ms, number = string.match(entry, '(%d+)-(%d+)')
    at = string.format('%.17g', ms + math.min(number, 4095) / 4096)
    redis.call('ZADD', KEYS[2], at, ARGV[place])
  end
  arrived[ARGV[place]] = at
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]))
local times = {}
for place = 3, #ARGV, 2 do table.insert(times, arrived[ARGV[place]]) end
if not fits then return {-1, waiting, {}, times} end
return {#fresh, waiting + #fresh, fresh, times}
"""
)
"""Appends all events of a call or none, and tells when each arrived, or had arrived before. An id
is remembered exactly if its event is in the stream. A server without memory refuses the first
write, so nothing is changed. The ids of a stream never go back, whatever the clock does."""

assert f"'{EVENT_FIELD}'" in _APPEND

_KEPT_RULES = "rules"
_logger = logging.getLogger(__name__)


class Availability:
    """Reads and changes the set of hidden items. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def get(self, item_id: str) -> bool:
        """Whether an item may be shown."""
        key = self._store.keys.unavailable
        with self._store.answering(key):
            hidden = await self._store.client.sismember(key, item_id)
        return not hidden

    async def put(self, item_ids: Sequence[str], *, available: bool) -> int:
        """Show or hide items, from the next request on; how many were not so already.

        UnknownItem, and nothing is changed, if one that was deleted is to be shown.
        """
        names = (*availability_keys(self._store.keys), self._store.keys.items)
        word = "show" if available else "hide"
        client = self._store.client if len(item_ids) == 1 else self._store.bulk_client
        with self._store.writing():
            changed = await client.eval(
                _PUT, len(names), *names, word, to_json(item_ids), draw_step()
            )
        if isinstance(changed, bytes):
            raise UnknownItem(f"item {changed.decode()!r} was deleted; put it again")
        return int(changed)


class DefaultRules:
    """The rules of the namespace as last read; one per process, for all model versions.

    `local`: where they are kept on this machine, if anywhere.
    """

    def __init__(self, local: LocalState | None = None) -> None:
        self.latest = NO_RULES
        self._local = local
        self._text: bytes | None = None

    async def follow(self, text: bytes | None) -> None:
        """Take over what Redis holds now; what cannot be read counts as no rules, and is logged."""
        if text == self._text:
            return
        self._take(text)
        if self._local is not None:
            await to_thread.run_sync(self._local.put, _KEPT_RULES, text or b"")

    async def look_back(self) -> None:
        """Begin with what this machine has kept."""
        if self._local is not None and self._text is None:
            self._take(await to_thread.run_sync(self._local.get, _KEPT_RULES) or None)

    def _take(self, text: bytes | None) -> None:
        self._text, self.latest = text, NO_RULES
        try:
            self.latest = parse_rules(text)
        except ValueError as error:
            _logger.warning("the default rules are not in force, put them again: %s", error)


def parse_rules(text: bytes | str | None) -> Rules:
    """Rules as they are kept; ValueError."""
    return NO_RULES if text is None else Rules.model_validate_json(text)


class RulesStore:
    """Reads and changes the default rules. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def get(self) -> tuple[Rules, list[str]]:
        """The rules that hold now, and why those in Redis do not if they cannot be read."""
        key = self._store.keys.rules
        with self._store.answering():
            text = await or_else(self._store.client.get(key), key, b"")
        try:
            return parse_rules(text), []
        except ValueError:
            return NO_RULES, [f"{key} cannot be read, so no rules hold: put them again"]

    async def put(self, rules: Rules) -> None:
        """Let rules hold from the next request on, instead of the present ones."""
        text = rules.model_dump_json(exclude_defaults=True)
        with self._store.writing():
            await self._store.client.set(self._store.keys.rules, text)

    async def delete(self) -> None:
        """Let no rules hold from the next request on."""
        with self._store.writing():
            await self._store.client.delete(self._store.keys.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What `FeedbackStream.append` did."""

    fresh: Sequence[FeedbackEvent]
    """The events that had not been reported before."""
    waiting: int
    """Events that training has not taken over."""
    arrived: Sequence[float]
    """When each event of the call arrived, or did so before, by Redis's clock in Unix ms."""
    is_full: bool
    """Whether they do not all fit, so that none was appended."""

    @property
    def accepted(self) -> int:
        """How many had not been reported before."""
        return len(self.fresh)


class FeedbackStream:
    """The stream of one namespace. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore, *, capacity: int) -> None:
        self._store = store
        self._capacity = capacity

    async def append(self, events: Sequence[FeedbackEvent]) -> Appended:
        """Append the events whose ids are new, in their order, if they all fit."""
        keys = self._store.keys
        texts = [part for event in events for part in (event.event_id, event.model_dump_json())]
        with self._store.writing():
            accepted, waiting, fresh, arrived = await self._store.client.eval(
                _APPEND, 2, keys.feedback, keys.feedback_ids, self._capacity, REMEMBERED_MS, *texts
            )
        # The arguments are two limits, then an id and a text for each event; Lua counts from one.
        kept = [events[(place - 3) // 2] for place in fresh]
        times = [float(at) for at in arrived]
        return Appended(fresh=kept, waiting=waiting, arrived=times, is_full=accepted < 0)

    async def remember(self, events: Sequence[FeedbackEvent], arrived: Sequence[float]) -> None:
        """Note what users have done and when, for their next requests; twice changes nothing."""
        pipe: Any = self._store.client.pipeline(transaction=False)
        for command in self._store.live.writing(events, arrived):
            pipe.execute_command(*command)
        with self._store.writing():  # a server that refuses one of these refuses all
            replies = usable(await pipe.execute(raise_on_error=False))
        if any(isinstance(reply, Exception) for reply in replies):
            tell(LIVE)  # events wait for training nevertheless

    def full(self, waiting: int) -> FeedbackFull:
        """Why the events of a call were not appended."""
        return FeedbackFull(
            f"{waiting} events wait for training, at most {self._capacity} are kept; "
            "run the retraining, which takes them over, and send these again"
        )
