"""Who comes on a day, and how much of what she likes stood in the lists asked for before it.

Knows interactions; knows nothing about how lists are made. Letters: K length of the ranked
list, B users of a block, here one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from deploy.month.days import Day
from deploy.month.outcome import JOINED, KNOWN, LENGTH, NEW, Visit
from deploy.replay import Replay
from training.metrics import ndcg_at_k, recall_at_k

Ask = Callable[[str, list[str]], list[str]]
"""A user's list, best item first; the second argument is what she has liked since the start."""


@dataclass(frozen=True, slots=True)
class Visitors:
    """The users of a month that begins with interaction `first`."""

    replay: Replay
    first: int

    def of(self, today: Day, services: Mapping[str, Ask]) -> Iterator[Visit]:
        """Everybody who likes something today that she has had nothing to do with before."""
        replay, before = self.replay, today.start
        had = set(zip(replay.user_N[:before], replay.item_N[:before], strict=True))
        at_start, since = set(replay.user_N[: self.first]), set(replay.user_N[self.first : before])
        likes: dict[str, set[str]] = {}
        for user_id, item_id in self._liked(today.start, today.stop):
            if (user_id, item_id) not in had:
                likes.setdefault(user_id, set()).add(item_id)
        session: dict[str, list[str]] = {}
        for user_id, item_id in self._liked(self.first, before):
            session.setdefault(user_id, []).append(item_id)
        for user_id, items in likes.items():
            liked = session.get(user_id, [])
            lists = {service: ask(user_id, liked) for service, ask in services.items()}
            yield Visit(
                user_id=user_id,
                group=KNOWN if user_id in at_start else JOINED if user_id in since else NEW,
                value={service: _value(top, items) for service, top in lists.items()},
            )

    def _liked(self, start: int, stop: int) -> Iterator[tuple[str, str]]:
        for n in np.flatnonzero(self.replay.liked_N[start:stop]).tolist():
            yield self.replay.user_N[start + n], self.replay.item_N[start + n]


def _value(top: list[str], items: set[str]) -> dict[str, float]:
    hit_BK = np.array([[item_id in items for item_id in top]])
    num_relevant_B = np.array([len(items)])
    return {
        f"{name}@{LENGTH}": float(metric(hit_BK, num_relevant_B, LENGTH)[0])
        for name, metric in (("recall", recall_at_k), ("ndcg", ndcg_at_k))
    }
