"""Answers that are kept, to be given again for as long as nothing has changed.

What an answer depends on, a request reads anyway: one round trip to Redis tells the user's events,
and what has changed for everybody. So an answer that is given again is as true as a new one; what
is saved is making it. Answers of a moment when Redis could not be read are not kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self
from weakref import ref

from anyio import to_thread
from cachetools import LRUCache
from lz4.block import compress, decompress

from model.registry.records import Variant
from model.runtime.top_k import Rows
from service.ops.metrics import Metrics
from service.ops.process import beside_requests, with_pauses
from service.recommend.answer import Answer
from service.schemas.requests import RecommendationRequest
from service.schemas.rules import Rules
from service.serving.served import Served
from service.serving.snapshot import Snapshot
from service.store.live_events import LiveEvent
from service.store.users import UserState

_BYTES = 1_000
"""Of an entry, besides its texts and events."""
_EVENT_BYTES = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """All that an answer depends on besides its request.

    What a snapshot says of a user never changes, nor does an array of hidden rows: the very same
    ones mean that nothing has changed. They are held weakly, so that no replaced model stays.
    """

    snapshot: ref[Snapshot]
    variant: Variant
    in_model: bool
    hidden_rows: ref[Rows]
    default_rules: Rules
    events: Sequence[LiveEvent]

    @classmethod
    def of(cls, served: Served, user: UserState) -> Self:
        return cls(
            snapshot=ref(served.snapshot),
            variant=served.variant,
            in_model=user.in_model,
            hidden_rows=ref(user.hidden_rows),
            default_rules=user.default_rules,
            events=user.events,
        )

    def holds(self, served: Served, user: UserState) -> bool:
        """Whether nothing has changed."""
        return (
            self.snapshot() is served.snapshot
            and self.variant == served.variant
            and self.in_model == user.in_model
            and self.hidden_rows() is user.hidden_rows
            and self.default_rules is user.default_rules
            and self.events == user.events
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    """Its content compressed."""
    basis: _Basis
    num_bytes: int
    """About how much memory it takes."""


Key = tuple[str | None, str]
"""Who asked for what: the user's id, and the request as JSON."""


class _Entries(LRUCache[Key, _Kept]):
    """The entries by request, the least recently used one first; it counts those that make room."""

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        super().__init__(most_bytes)
        self._evictions = metrics.kept_evictions

    @staticmethod
    def getsizeof(value: _Kept) -> int:
        return value.num_bytes

    def popitem(self) -> tuple[Key, _Kept]:
        self._evictions.inc()
        return super().popitem()


class KeptAnswers:
    """One per process. For the event loop only.

    Args:
        most_bytes: how much memory they may take; 0: none is kept.
        metrics: where they are counted.
    """

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        self._entries = _Entries(most_bytes, metrics)
        self._bytes = metrics.kept_bytes
        self._hit, self._miss, self._changed = map(
            metrics.kept_asks.labels, ("hit", "miss", "changed")
        )

    def key(self, request: RecommendationRequest, user: UserState) -> Key | None:
        """What an answer is kept by; None if it is not to be kept."""
        if not self._entries.maxsize or user.trouble is not None:
            return None
        return user.user_id, request.model_dump_json()

    def get(self, key: Key, served: Served, user: UserState) -> Answer | None:
        """The answer to a request, if it would be the same now."""
        kept = self._entries.get(key)
        if kept is None:
            self._miss.inc()
            return None
        if not kept.basis.holds(served, user):
            self._changed.inc()
            return None
        self._hit.inc()
        return kept.answer._replace(content=decompress(kept.answer.content))

    def put(self, key: Key, served: Served, user: UserState, answer: Answer) -> None:
        """Keep an answer; not that of a user who has been erased meanwhile."""
        if user.user_id is not None and served.snapshot.users.is_erased(user.user_id):
            return
        small = answer._replace(content=compress(answer.content))
        num_bytes = _BYTES + len(key[1]) + len(small.content) + _EVENT_BYTES * len(user.events)
        if num_bytes <= self._entries.maxsize:
            self._entries[key] = _Kept(small, _Basis.of(served, user), num_bytes)
        self._bytes.set(self._entries.currsize)

    async def forget(self, is_erased: Callable[[str], bool]) -> None:
        """Keep none of some users. They are looked for beside requests; `put` keeps none meanwhile.

        No other answer names a user.
        """
        asked = [each for each in self._entries if each[0] is not None]

        def theirs() -> list[Key]:
            return [each for each in with_pauses(asked) if each[0] and is_erased(each[0])]

        for each in await to_thread.run_sync(partial(beside_requests, theirs)):
            self._entries.pop(each, None)
        self._bytes.set(self._entries.currsize)
