"""The state machine of one namespace's published versions: live, previous, pinned, canary.

A `State` is what the Redis keys hold. A transition takes a state to a `Change`, which says what to
write, or raises `Refused` with the message that people see. There is no I/O here. The drivers
(`service.store.registry`, `training.publish.registry`) read the state, call a transition and write
the change in one transaction that watches `KeySpace.watched`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Self

from model.registry.canary import MAX_SHARE, Canary, Outcome
from model.registry.keys import KeySpace

_LAST_SECOND = 253_402_300_799
"""The last one that calendars have, in Unix seconds."""


class Refused(Exception):
    """The transition is not possible in this state; the message says why and what to do."""


class NotPublished(Refused):
    """The version is not published, not whole, or there is none to go back to."""


class CanaryRefused(Refused):
    """There can be no such canary now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The versions of one namespace, as Redis holds them at one moment."""

    namespace: str = "default"
    live: str | None = None
    previous: str | None = None
    """The version that was live before."""
    pinned: str | None = None
    """The version that stays live whatever is published."""
    canary: Canary | None = None
    """The latest canary, running or ended."""
    published_at: Mapping[str, float] = field(default_factory=dict)
    """Complete versions that have not been pruned, and when they were published (Unix seconds)."""
    answers: Mapping[str, int] = field(default_factory=dict)
    """How many answers a version has given as a canary, over all replicas."""
    foreign: Sequence[bytes] = ()
    """Members of `KeySpace.versions` that are no versions."""

    @classmethod
    def of(
        cls,
        namespace: str,
        pointers: Sequence[bytes | None],
        versions: Iterable[tuple[bytes, float]],
        answers: Mapping[bytes, bytes],
    ) -> Self:
        """Parse the values of `KeySpace.pointers`, `versions` and `canary_answers`."""
        *names, canary = pointers
        found = list(versions)
        live, previous, pinned = (
            None if name is None else name.decode(errors="replace") for name in names
        )
        return cls(
            namespace=namespace,
            live=live,
            previous=previous,
            pinned=pinned,
            canary=Canary.parse(canary),
            published_at={name.decode(): float(at) for name, at in found if _is_version(name, at)},
            answers={
                name.decode(errors="replace"): int(count)
                for name, count in answers.items()
                if count.isdigit()
            },
            foreign=[name for name, at in found if not _is_version(name, at)],
        )

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the keys, for people."""
        if not self.foreign:
            return []
        key = KeySpace(self.namespace).versions
        return [
            f"{len(self.foreign)} members of {key} are no versions and are left out, such as "
            f"{self.foreign[0]!r}; remove them (ZREM)"
        ]

    @property
    def running(self) -> Canary | None:
        """The canary, while it runs."""
        return self.canary if self.canary is not None and self.canary.outcome is None else None

    @property
    def pointers(self) -> tuple[str | None, ...]:
        """The values of `KeySpace.pointers`."""
        canary = None if self.canary is None else self.canary.model_dump_json()
        return self.live, self.previous, self.pinned, canary

    @property
    def canary_answers(self) -> int:
        """Number of answers that the latest canary has given."""
        return 0 if self.canary is None else self.answers.get(self.canary.version, 0)

    @property
    def newest_first(self) -> list[str]:
        """The published versions."""
        return sorted(self.published_at, key=lambda name: (self.published_at[name], name))[::-1]

    @property
    def roles(self) -> dict[str, str | None]:
        """The version in each role: `current`, `previous`, `pinned` and `canary`."""
        return {
            "current": self.live,
            "previous": self.previous,
            "pinned": self.pinned,
            "canary": None if self.running is None else self.running.version,
        }

    @property
    def in_a_role(self) -> set[str]:
        """The versions in any of `roles`."""
        return {name for name in self.roles.values() if name is not None}

    @property
    def stored(self) -> set[str]:
        """Versions whose keys must stay: published, or in a role."""
        return self.in_a_role | self.published_at.keys()

    def publish(
        self,
        version: str,
        at: datetime,
        share: float | None = None,
        *,
        early: Collection[str] = (),
    ) -> "Change":
        """Record a complete version and make it live, or with a share the canary.

        While another version is pinned, it is only recorded. What is published first goes live.
        Publishing the live version again changes nothing: after a lost answer one may repeat it.
        Versions in `early` are of trainings that went on: nobody goes back to one, so that the
        version before it stays `previous`.

        Raises:
            CanaryRefused: another canary runs, or the share is out of range.
        """
        if version == self.live:
            return Change(self, self)
        recorded = replace(self, published_at={**self.published_at, version: at.timestamp()})
        if self.pinned not in (None, version):
            return Change(self, recorded)
        if share is not None and self.pinned is None and self.live is not None:
            return Change(self, recorded._with_canary(version, share, at))
        return Change(self, recorded._with_live(version, at, pinned=self.pinned, early=early))

    def publish_early(self, version: str, at: datetime, early: Collection[str]) -> "Change":
        """`publish` a model of a training that goes on, unless it would be in the way.

        Raises:
            Refused: a finished version is live, one is pinned, or a canary runs.
        """
        if self.pinned is not None:
            why = f"{self.pinned} is pinned"
        elif self.live is not None and self.live not in early:
            why = f"{self.live} is live, and its training was finished"
        elif self.running is not None:
            why = f"the canary {self.running.version} runs"
        else:
            return self.publish(version, at, early=early)
        raise Refused(f"an early model waits until its training is finished: {why}")

    def activate(self, version: str, at: datetime, *, pin: bool) -> "Change":
        """Make a published version live. The pin moves to it (`pin`) or is lifted.

        It is announced even if nothing changes, so that replicas look again. NotPublished if it is
        neither published nor live.
        """
        self._check_published(version)
        after = self._with_live(version, at, pinned=version if pin else None)
        return Change(self, after, announced=version)

    def roll_back(self, at: datetime) -> "Change":
        """Make the previous version live and pin it.

        Raises:
            NotPublished: there is no previous version.
            Refused: one is pinned: going back twice would lead to the version that was left.
        """
        if self.pinned is not None:
            raise Refused(
                f"version {self.pinned} is pinned already; to leave it, name the version: "
                "`promote VERSION --pin` (`models` lists them)"
            )
        if self.live is None or self.previous in (None, self.live):
            raise NotPublished("there is no version before the live one")
        assert self.previous is not None
        return self.activate(self.previous, at, pin=True)

    def pin(self, at: datetime) -> "Change":
        """Keep the live version live, whatever is published; NotPublished if nothing is live."""
        if self.live is None:
            raise NotPublished("nothing is live yet, so there is nothing to pin")
        return self.activate(self.live, at, pin=True)

    def unpin(self) -> "Change":
        """Let the next publish go live."""
        return Change(self, replace(self, pinned=None))

    def start_canary(self, version: str, share: float, at: datetime) -> "Change":
        """Let a published version serve a share of the users, or change the canary's share.

        Raises:
            NotPublished: it is not published.
            CanaryRefused: see `publish`; or it is live, nothing is, or a version is pinned.
        """
        self._check_published(version)
        return Change(self, self._with_canary(version, share, at))

    def end_canary(
        self, outcome: Outcome, reason: str, at: datetime, only: Canary | None = None
    ) -> "Change":
        """End the running canary, if there is one and it is the one meant by `only`."""
        running = self.running
        if running is None or (only is not None and not running.is_same(only)):
            return Change(self, self)
        return Change(self, replace(self, canary=running.ended(outcome, reason, at)))

    def promote_canary(self, canary: Canary, at: datetime) -> "Change":
        """Make a canary live, unless it has ended meanwhile."""
        if not canary.is_same(self.running):
            return Change(self, self)
        return Change(self, self._with_live(canary.version, at, pinned=self.pinned))

    def prune(
        self, at: datetime, *, keep: int, grace_seconds: float, early: Collection[str] = ()
    ) -> "Change":
        """Strike off versions without a role that are not among the `keep` newest.

        Versions in `early` are none of those. For `grace_seconds` after a newer one came any
        version stays: a replica may still be loading it.
        """
        names = self.newest_first
        newest = [name for name in names if name not in early][:keep]
        gone = {
            name
            for successor, name in pairwise(names)
            if name not in self.in_a_role
            and name not in newest
            and at.timestamp() - self.published_at[successor] >= grace_seconds
        }
        kept = {name: score for name, score in self.published_at.items() if name not in gone}
        return Change(self, replace(self, published_at=kept))

    def _check_published(self, version: str) -> None:
        if version != self.live and version not in self.published_at:
            raise NotPublished(
                f"there is no version {version!r} in namespace {self.namespace!r}; "
                "`models` and GET /v1/models list those that are published"
            )

    def _with_live(
        self, version: str, at: datetime, *, pinned: str | None, early: Collection[str] = ()
    ) -> Self:
        """A running canary ends: it was compared with another version, or a pin excludes it."""
        moves, canary = version != self.live, self.canary
        if self.running is not None and (moves or pinned is not None):
            canary = self.running.superseded_by(version, at, pinned=pinned is not None)
        left = self.live if moves and self.live not in early else None
        previous = self.previous if left is None else left
        return replace(self, live=version, previous=previous, pinned=pinned, canary=canary)

    def _with_canary(self, version: str, share: float, at: datetime) -> Self:
        running = self.running
        if not 0 < share <= MAX_SHARE:
            why = f"a canary's share is above 0 and at most {MAX_SHARE}, not {share:g}"
        elif self.live is None:
            why = "nothing is live yet, so there is nothing for a canary to stand beside"
        elif version == self.live:
            why = f"version {version!r} is live: everybody gets it already"
        elif self.pinned is not None:
            why = f"version {self.pinned!r} is pinned, so everybody gets it; lift the pin first"
        elif running is not None and running.version != version:
            why = (
                f"version {running.version!r} is the canary already, for {running.share:.0%} of "
                "the users; stop or promote it first"
            )
        elif running is not None:
            return replace(self, canary=running.model_copy(update={"share": share}))
        else:
            begun = Canary(version=version, share=share, started_at=at)
            return replace(self, canary=begun, answers={})
        raise CanaryRefused(why)


@dataclass(frozen=True, slots=True)
class Change:
    """The outcome of a transition: the states before and after it."""

    before: State
    after: State
    announced: str | None = None
    """The version to announce even if nothing that replicas follow has changed."""

    @property
    def happened(self) -> bool:
        """Whether the states differ."""
        return self.before != self.after

    @property
    def has_to_be_whole(self) -> set[str]:
        """Versions that go live, become a canary, are pinned or are activated once more."""
        old, new = self.before, self.after
        names = {self.announced}
        names |= {new.live} - {old.live} | {new.pinned} - {old.pinned}
        if self._begun is not None:
            names.add(self._begun.version)
        return {name for name in names if name is not None}

    @property
    def _begun(self) -> Canary | None:
        """The canary that this change begins."""
        canary = self.after.running
        return None if canary is None or canary.is_same(self.before.running) else canary

    def commands(self, keys: KeySpace) -> Iterator[tuple[str | float, ...]]:
        """The Redis commands that write the change, all in one hash slot."""
        old, new = self.before, self.after
        for key, stored, wanted in zip(keys.pointers, old.pointers, new.pointers, strict=True):
            if wanted != stored:
                yield ("DEL", key) if wanted is None else ("SET", key, wanted)
        if self._begun is not None:
            yield "DEL", keys.canary_answers
        for version, score in new.published_at.items():
            if old.published_at.get(version) != score:
                yield "ZADD", keys.versions, score, version
        if gone := sorted(old.published_at.keys() - new.published_at.keys()):
            yield "ZREM", keys.versions, *gone
        if (news := self._news) is not None:
            # By its name: redis-py has no method `publish` in a cluster's transaction.
            yield "PUBLISH", keys.events, news

    @property
    def _news(self) -> str | None:
        """The version to announce: replicas follow the live version and the canary."""
        if self.announced is None and self.after.live != self.before.live:
            return self.after.live
        canary = self.after.canary
        if self.announced is None and canary is not None and canary != self.before.canary:
            return canary.version
        return self.announced


def _is_version(name: bytes, at: float) -> bool:
    """Whether a member of `KeySpace.versions` is one, with a time that calendars have."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return 0 <= at <= _LAST_SECOND
