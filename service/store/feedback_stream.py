"""Events on their way to training, and the items that each user has just seen, in Redis."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from model.registry.records import EVENT_FIELD, SHOWN_ONLY, FeedbackEvent
from service.schemas.errors import FeedbackFull
from service.store.store import RedisStore

REMEMBERED_MS = 48 * 3600 * 1000
"""How long a repeated event id is recognised here: longer than any client retries, and longer than
one missed nightly run. Training recognises it for ever."""

_APPEND = """
local waiting = redis.call('XLEN', KEYS[1])
local fresh, listed = {}, {}
for place = 3, #ARGV, 2 do
  local id = ARGV[place]
  if not listed[id] and not redis.call('ZSCORE', KEYS[2], id) then
    listed[id] = true
    table.insert(fresh, place)
  end
end
if waiting + #fresh > tonumber(ARGV[1]) then return {-1, waiting} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, place in ipairs(fresh) do
  redis.call('ZADD', KEYS[2], now, ARGV[place])
  redis.call('XADD', KEYS[1], '*', 'event', ARGV[place + 1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]))
return {#fresh, waiting + #fresh}
"""
"""All events of a call or none, and an id is remembered exactly if its event is in the stream. A
server without memory refuses the first write, before anything is changed."""

assert f"'{EVENT_FIELD}'" in _APPEND


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The outcome of `FeedbackStream.append`."""

    accepted: int
    waiting: int
    """Events that training has not taken over."""


class FeedbackStream:
    """The stream of one namespace. Every method raises SourceUnavailable."""

    def __init__(
        self, store: RedisStore, *, capacity: int, recent_items: int, recent_seconds: float
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._recent_items = recent_items
        self._recent_ms = round(recent_seconds * 1000)

    async def append(self, events: Sequence[FeedbackEvent]) -> Appended:
        """Take in the events whose ids are new; FeedbackFull if they do not all fit."""
        keys = self._store.keys
        texts = [part for event in events for part in (event.event_id, event.model_dump_json())]
        with self._store.answering():
            accepted, waiting = await self._store.client.eval(
                _APPEND, 2, keys.feedback, keys.feedback_ids, self._capacity, REMEMBERED_MS, *texts
            )
        if accepted < 0:
            raise FeedbackFull(
                f"{waiting} events wait for training, at most {self._capacity} are kept; "
                "run the retraining, which takes them over, and send these again"
            )
        return Appended(accepted=accepted, waiting=waiting)

    async def remember(self, events: Sequence[FeedbackEvent]) -> None:
        """Tell `exclude_seen` which items users have done something with."""
        pipe = self._store.client.pipeline(transaction=False)
        now_ms = time.time_ns() // 1_000_000
        for event in events:
            if event.type in SHOWN_ONLY:
                continue
            key = self._store.keys.recent(event.user_id)
            pipe.zadd(key, {event.item_id: now_ms})
            pipe.zremrangebyrank(key, 0, -self._recent_items - 1)
            pipe.pexpire(key, self._recent_ms)
        with self._store.answering():
            await pipe.execute()
