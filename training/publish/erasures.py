"""The records of erasures in Redis: the sync driver of `model.registry.erasures`."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from model.registry.erasures import Erasure, Part, all_of
from model.registry.keys import KeySpace
from model.registry.revisions import draw_step
from training.publish.connection import Client, Transaction

_BATCH_IDS = 1000


class ErasureRecords:
    """The records of one namespace. Every method raises what redis-py raises."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client, self._keys = client, keys

    def all(self) -> list[Erasure]:
        """Every record, oldest first."""
        client: Any = self._client
        return all_of(client.hgetall(self._keys.erasures).values())

    def mark(self, part: Part, of: Iterable[Erasure]) -> None:
        """Note that a part is done; the record has no id after its last part.

        An erasure that was asked for once more meanwhile has another number, and waits anew.
        """
        numbers = {each.erasure_id: each.number for each in of}
        now = datetime.now(UTC)

        def change(each: Erasure) -> Erasure | None:
            current = numbers.get(each.erasure_id) == each.number and part in each.waiting
            return each.with_done(part, now) if current else each

        self._change(change)

    def drop_outdated(self) -> None:
        """Remove the records of erasures that were done long ago."""
        now = datetime.now(UTC)
        self._change(lambda each: None if each.is_outdated(now) else each)

    def _change(self, change: Callable[[Erasure], Erasure | None]) -> None:
        """Put other records in the place of those that `change` answers otherwise."""
        keys = self._keys

        def write(pipe: Transaction) -> None:
            stored: Any = pipe.hgetall(keys.erasures)
            after = [(each, change(each)) for each in all_of(stored.values())]
            changed = [(old, new) for old, new in after if new != old]
            pipe.multi()
            for old, new in changed:
                if new is None:
                    pipe.hdel(keys.erasures, old.erasure_id)
                else:
                    pipe.hset(keys.erasures, old.erasure_id, new.model_dump_json())
            if changed:
                pipe.incrby(keys.erasures_revision, draw_step())

        self._client.transaction(write, keys.erasures)


def ids_of(erasures: Iterable[Erasure]) -> list[str]:
    """The users whom some erasures still name."""
    return [each.user_id for each in erasures if each.user_id is not None]


def forget_event_ids(client: Client, keys: KeySpace, event_ids: Collection[str]) -> None:
    """Remove ids from those of events taken in lately."""
    left = iter(event_ids)
    while batch := list(islice(left, _BATCH_IDS)):
        client.zrem(keys.feedback_ids, *batch)
