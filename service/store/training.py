"""What trainings tell of themselves, as `model.registry.progress` has it."""

from dataclasses import dataclass
from typing import Any

from model.registry.progress import EVENT_FIELD, TrainingEvent, parse_event
from service.store.store import RedisStore

AT_ONCE = 500
"""Most entries of one read: half a megabyte."""
BEGINNING = "0-0"
"""Before every entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has been told since an entry."""

    events: list[tuple[str, TrainingEvent]]
    """With the ids of their entries; what this release cannot read is left out."""
    last: str
    """The newest entry that was read, for the next call."""
    more: bool
    """Whether there is more to read at once."""
    running: bool
    """Whether a training says that it runs."""


class TrainingStream:
    """The stream of one namespace."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def read(self, after: str) -> News:
        """What was told after an entry; SourceUnavailable.

        If the stream's last entry is older, the server is another one now: everything is read.
        """
        stream = self._store.keys.training
        pipe: Any = self._store.client.pipeline(transaction=False)
        pipe.xrange(stream, min=f"({after}", count=AT_ONCE)
        pipe.xrevrange(stream, count=1)
        pipe.exists(self._store.keys.training_alive)
        with self._store.answering():
            entries, newest, alive = await pipe.execute()
        if newest and _order(newest[0][0].decode()) < _order(after):
            return await self.read(BEGINNING)
        found = [
            (entry.decode(), parse_event(x.get(EVENT_FIELD.encode(), b""))) for entry, x in entries
        ]
        return News(
            events=[(entry, event) for entry, event in found if event is not None],
            last=found[-1][0] if found else after,
            more=len(found) == AT_ONCE,
            running=bool(alive),
        )


def _order(entry: str) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))
