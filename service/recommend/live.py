"""Live events: what a user has done since the model was made, in terms of its items.

The latest word on an item counts: a like by an event whose weight in `EVENT_WEIGHTS` is enough by
itself, a dislike by a negative weight, an undo. Other events say that the item was seen.

Letters: H items of a history.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from model.registry.records import EVENT_WEIGHTS, TAKEN_BACK
from model.runtime.profile import History
from model.runtime.top_k import Rows
from service.serving.snapshot import Snapshot
from service.store.memo import Memo
from service.store.users import UserState

MAX_EVENTS = 100
"""Latest events that are scored with; of older ones only counts that their items were seen."""
_NO_ROWS: Rows = np.empty(0, dtype=np.intp)

Word = Literal["like", "dislike", "undo"]
_WORDS: Mapping[str, Word] = {
    **{kind: "like" for kind, weight in EVENT_WEIGHTS.items() if weight >= 1},
    **{kind: "dislike" for kind, weight in EVENT_WEIGHTS.items() if weight < 0},
    **dict.fromkeys(TAKEN_BACK, "undo"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveItems:
    """Rows of the items of a user's events, each once."""

    liked: Rows
    """Oldest first, by the last mention; without what the model has learnt already."""
    disliked: Rows
    """Newest first. A model learns of them only that they are not liked, so they count for as long
    as their events are kept."""
    undone: Rows
    """Newest first. What the model knows of them does not count."""
    seen: Rows
    """In any order."""
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    """What has been made of these and the user's record."""

    def changed(self, history_H: History) -> History:
        """What a history of the model, oldest first, is now; the same array if nothing changes."""
        rows = history_H.tolist()
        said = {*self.liked.tolist(), *self.disliked.tolist(), *self.undone.tolist()}
        if not len(self.liked) and said.isdisjoint(rows):
            return history_H
        kept_H = [row for row in rows if row not in said]
        return np.concatenate([_rows(kept_H), self.liked])

    def num_used(self, history_H: History | None, *, scored: bool) -> int:
        """How many events an answer is made with; likes only if they are scored."""
        had = set() if history_H is None or not len(self.undone) else {*history_H.tolist()}
        taken_back = sum(row in had for row in self.undone.tolist())
        return len(self.disliked) + taken_back + (len(self.liked) if scored else 0)


NOTHING = LiveItems(liked=_NO_ROWS, disliked=_NO_ROWS, undone=_NO_ROWS, seen=_NO_ROWS)


def live_items(snapshot: Snapshot, user: UserState) -> LiveItems:
    """What a user's events say; items that the model does not have are left out."""
    if not user.events:  # the usual request need not pay
        return NOTHING
    if user.record is None:
        return _looked_up(snapshot, user)
    key = (user.events, snapshot.items.serial)
    return user.record.memo.get(key, lambda: _looked_up(snapshot, user))


def _looked_up(snapshot: Snapshot, user: UserState) -> LiveItems:
    row_of = snapshot.items.ids.row
    latest: dict[int, str] = {}
    words: dict[int, tuple[Word, float]] = {}
    for place, (item_id, kind, at) in enumerate(user.events):
        row = row_of(item_id)
        if row is None:
            continue
        latest.setdefault(row, kind)
        if place < MAX_EVENTS and row not in words and kind in _WORDS:
            words[row] = _WORDS[kind], at
    learnt = _learnt(snapshot, user)
    rows_of: dict[Word, list[int]] = {"like": [], "dislike": [], "undo": []}
    for row, (word, at) in words.items():
        if word != "like" or not learnt(row, at):
            rows_of[word].append(row)
    seen = [row for row, kind in latest.items() if kind not in TAKEN_BACK]
    return LiveItems(
        liked=_rows(rows_of["like"][::-1]),
        disliked=_rows(rows_of["dislike"]),
        undone=_rows(rows_of["undo"]),
        seen=_rows(seen),
    )


def _learnt(snapshot: Snapshot, user: UserState) -> Callable[[int, float], bool]:
    """Whether the model has learnt that an item was liked at a time, in Unix milliseconds."""
    until = snapshot.manifest.events_until
    if until is not None:
        until_ms = 1000 * until.timestamp()
        return lambda _row, at: at <= until_ms
    # Nobody knows which of the events before it was made it has learnt, so of these its users' own
    # items do not count again.
    known = frozenset[int]() if user.record is None else frozenset(user.record.seen_N.tolist())
    made_ms = 1000 * snapshot.created_at.timestamp()
    return lambda row, at: at <= made_ms and row in known


def _rows(rows: list[int]) -> Rows:
    return np.array(rows, dtype=np.intp) if rows else _NO_ROWS
