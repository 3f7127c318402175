"""The users of one model version, read one at a time, and what changes while it is served.

Letters: V views, M modalities, D dimension, N items seen, H history length.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import ArtifactManifest
from model.artifact.stored import PER_USER, layout_of
from model.runtime.top_k import Rows
from service.ops.pseudonyms import Pseudonyms
from service.schemas.errors import SourceUnavailable
from service.schemas.rules import NO_RULES, Rules
from service.store.erasures import Erased
from service.store.hidden import HiddenItems, ItemTable
from service.store.live_events import LiveEvent
from service.store.local_state import LocalState
from service.store.memo import Memo
from service.store.shared_state import DefaultRules
from service.store.store import RedisStore, Revisions, RowSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """What the model knows of one user."""

    vector_VMD: NDArray[np.float32]
    """All zero for a user without a usable history."""
    seen_N: NDArray[np.int32]
    """Rows of all items that the user has interacted with."""
    history_H: NDArray[np.int32]
    """The rows of `seen_N` that the vector is made of, oldest first."""
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    """What the latest events make of it: until there are others, it is made once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserState:
    """A user, and what has changed since the model was made."""

    user_id: str | None
    """None: a request that names nobody."""
    in_model: bool
    record: UserRecord | None
    """None for a user who is not in the model or cannot be read now."""
    events: Sequence[LiveEvent] = ()
    """What they have done lately, newest first; the model may have learnt from it already."""
    hidden_rows: Rows
    """Items that must not be shown to anybody, ascending; the same array until others must not."""
    default_rules: Rules = field(default_factory=lambda: NO_RULES)
    """Those of the namespace."""
    trouble: SourceUnavailable | None = None
    """Why something could not be read: events are then none, all else as last known."""


_NONE_HIDDEN: Rows = np.empty(0, dtype=np.intp)


class DiskUsers:
    """Users out of memory-mapped arrays."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        # Plain arrays over the same memory: every part of a mapped one is made as a map again.
        self._vectors_UVMD = np.asarray(tensors["user_embeddings"])
        self._seen = np.asarray(tensors["seen_items"])
        self._offsets = np.asarray(tensors["seen_offsets"])
        self._history_lengths = np.asarray(tensors["history_lengths"])

    async def user(self, row: int) -> UserRecord:
        """The user at `row`; at worst a few pages are read from disk."""
        seen_N = np.array(self._seen[self._offsets[row] : self._offsets[row + 1]])
        return UserRecord(
            vector_VMD=np.array(self._vectors_UVMD[row]),
            seen_N=seen_N,
            history_H=seen_N[: self._history_lengths[row]],
        )

    async def prepare(self, items: ItemTable) -> None:
        """Get ready to tell what is hidden in a catalogue: nothing is, in a folder."""

    def is_erased(self, user_id: str) -> bool:  # noqa: ARG002  # nobody is, in a folder
        """Whether a user of the model is to be forgotten."""
        return False

    async def state(
        self,
        user_id: str | None,
        row: int | None,
        items: ItemTable,  # noqa: ARG002  # a folder hides none
    ) -> UserState:
        """The state of a user, or of nobody; nothing changes in a folder."""
        return UserState(
            user_id=user_id,
            in_model=row is not None,
            record=None if row is None else await self.user(row),
            hidden_rows=_NONE_HIDDEN,
        )


class Changing:
    """What changes while versions are served, as last read; one per process.

    Args:
        store: where it changes.
        local: where it is kept on this machine, if anywhere.
        pseudonyms: gets the namespace's key.
    """

    def __init__(
        self,
        store: RedisStore,
        local: LocalState | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self._store = store
        self.hidden = HiddenItems(store, local)
        self.rules = DefaultRules(local)
        self.erased = Erased(store, local, pseudonyms)

    @property
    def trouble(self) -> str | None:
        """Why something may have changed that is not known here."""
        return self.hidden.trouble or self.erased.trouble

    async def follow(self, latest: Revisions, *, patient: bool = False) -> None:
        """Take in what has changed, see `LogFollower.follow`; SourceUnavailable."""
        await self.rules.follow(latest.rules)
        try:
            await self.hidden.follow(latest.availability, patient=patient)
        finally:  # neither waits for the other
            await self.erased.follow(latest.erasures, patient=patient)

    async def look(self) -> None:
        """Read what has changed, or all of it the first time; SourceUnavailable."""
        await self.erased.share_key()
        await self.follow(await self._store.revisions(), patient=True)
        await self.hidden.tidy()

    async def close(self) -> None:
        """Read and write no longer."""
        await self.erased.close()
        await self.hidden.close()

    async def look_back(self) -> bool:
        """Begin with what this machine has kept; whether it knows what is hidden."""
        await self.rules.look_back()
        await self.erased.look_back()
        await self.hidden.look_back()
        return self.hidden.known


class RedisUsers:
    """Reads users row by row, and keeps the latest.

    None gets stale: a version changes only by the erasure of users, who are unknown from then on.
    """

    def __init__(
        self,
        store: RedisStore,
        manifest: ArtifactManifest,
        tensors: Mapping[str, NDArray[Any]],
        *,
        changing: Changing,
        cache_size: int,
    ) -> None:
        self._store = store
        self._changing = changing
        self._erasures = manifest.erasures
        self._version = manifest.model_version
        self._num_items = manifest.num_items
        self._shape_VMD = manifest.tensors["user_embeddings"].shape[1:]
        self._vector_layout, self._seen_layout = (layout_of(manifest, name) for name in PER_USER)
        self._seen_offsets = tensors["seen_offsets"]
        self._history_lengths = tensors["history_lengths"]
        self._cache: OrderedDict[int, UserRecord] = OrderedDict()
        self._cache_size = cache_size

    async def user(self, row: int) -> UserRecord:
        """The user at `row`, from memory or in one round trip; SourceUnavailable."""
        record = self._kept(row)
        if record is None:
            parts, _ = await self._store.read(self._version, self._spans(row), None)
            record = self._keep(row, parts)
        return record

    async def prepare(self, items: ItemTable) -> None:
        """Get ready to tell what is hidden in a catalogue, before it is served."""
        await self._changing.hidden.prepare(items)

    def is_erased(self, user_id: str) -> bool:
        """Whether a user of the model is to be forgotten, as far as this process knows."""
        return self._changing.erased.since(user_id, self._erasures)

    async def state(self, user_id: str | None, row: int | None, items: ItemTable) -> UserState:
        """The state of a user whose row is given, in one round trip; never raises.

        Hidden items are those of a catalogue that has these ids. Who was erased is not in the
        model.
        """
        record = None if row is None else self._kept(row)
        spans = () if row is None or record is not None else self._spans(row)
        events: Sequence[LiveEvent] = ()
        trouble = None
        try:
            parts, live = await self._store.read(self._version, spans, user_id)
            events, trouble = live.events, live.trouble
            if row is not None and record is None:
                record = self._keep(row, parts)
            await self._changing.follow(live.revisions)
        except SourceUnavailable as error:
            trouble = error
        if user_id is not None and row is not None and self.is_erased(user_id):
            self._cache.pop(row, None)
            row = record = None
        return UserState(
            user_id=user_id,
            in_model=row is not None,
            record=record,
            events=events,
            hidden_rows=self._changing.hidden.rows(items),
            default_rules=self._changing.rules.latest,
            trouble=trouble,
        )

    def _kept(self, row: int) -> UserRecord | None:
        if row in self._cache:
            self._cache.move_to_end(row)
        return self._cache.get(row)

    def _spans(self, row: int) -> Sequence[RowSpan]:
        first, stop = self._seen_offsets[row : row + 2].tolist()
        return (
            RowSpan("user_embeddings", self._vector_layout, row, row + 1),
            RowSpan("seen_items", self._seen_layout, first, stop),
        )

    def _keep(self, row: int, parts: Sequence[bytes]) -> UserRecord:
        vector, seen = parts
        vector_VMD = np.frombuffer(vector, dtype="<f4").reshape(self._shape_VMD)
        seen_N = np.frombuffer(seen, dtype="<i4")
        # Single rows have no checksum; these are the two faults that would break an answer.
        seen_fit = ((seen_N >= 0) & (seen_N < self._num_items)).all()
        if not (np.isfinite(vector_VMD).all() and seen_fit):
            raise SourceUnavailable(f"the row of user {row} is damaged in {self._store.address}")
        history_H = seen_N[: self._history_lengths[row]]
        record = UserRecord(vector_VMD=vector_VMD, seen_N=seen_N, history_H=history_H)
        self._cache[row] = record
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return record


UserSource = DiskUsers | RedisUsers
"""Reads the users of one model version."""
