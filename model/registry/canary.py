"""A canary: a published version that serves a share of the users beside the live one.

What `KeySpace.canary` holds, who belongs to the share, and when there may be one. Knows rules;
nothing about connections.
"""

import hashlib
from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

MAX_SHARE = 0.5
"""A version that most users get is the live one."""

Outcome = Literal["promoted", "stopped", "rolled_back", "superseded"]
"""How a canary ends: it went live; somebody stopped it; a replica saw it misbehave; another version
went live or was pinned."""


class CanaryRefused(ValueError):
    """There can be no such canary now; the message says why and what to do."""


class Canary(BaseModel):
    """The latest canary of a namespace, running or ended."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: str
    share: float = Field(gt=0, le=MAX_SHARE)
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    """None while it runs."""
    reason: str = ""
    """Why it ended, for people."""

    @classmethod
    def parse(cls, stored: bytes | str | None) -> Self | None:
        """What a key holds; None if it is not there, or not what this release can read.

        To serve everybody from the live version is then right, and the next canary overwrites it.
        """
        if stored is None:
            return None
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return None

    @classmethod
    def running_in(cls, stored: bytes | str | None) -> Self | None:
        """As `parse`, but None if it has ended."""
        canary = cls.parse(stored)
        return canary if canary is not None and canary.outcome is None else None

    def is_same(self, other: "Canary | None") -> bool:
        """Whether two records are of one canary, whatever its share and its end."""
        return other is not None and (self.version, self.started_at) == (
            other.version,
            other.started_at,
        )

    def takes(self, user_id: str) -> bool:
        """Whether a user belongs to the share.

        The first 8 bytes of SHA-256 over version, newline and user id, as a big-endian fraction of
        2^64, are below the share. The same in every process and release; a larger share keeps the
        users of a smaller one; another version draws other users.
        """
        digest = hashlib.sha256(f"{self.version}\n{user_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64

    def ended(self, outcome: Outcome, reason: str, at: datetime) -> Self:
        """The same canary, over."""
        return self.model_copy(update={"outcome": outcome, "reason": reason, "ended_at": at})

    def outrun(self, live: str, at: datetime, *, pinned: bool) -> Self:
        """The same canary, over because a version has gone live or was pinned."""
        if live == self.version:
            return self.ended("promoted", f"{live} went live", at)
        return self.ended("superseded", f"{live} {'was pinned' if pinned else 'went live'}", at)


def begin(
    version: str,
    share: float,
    at: datetime,
    *,
    live: str | None,
    pinned: str | None,
    running: Canary | None,
) -> Canary:
    """A new canary, or the running one with another share.

    Raises:
        CanaryRefused: the share is out of range, the version is live, or nothing is, a version is
            pinned, or another canary runs.
    """
    if not 0 < share <= MAX_SHARE:
        raise CanaryRefused(f"a canary's share is above 0 and at most {MAX_SHARE}, not {share:g}")
    if live is None:
        raise CanaryRefused("nothing is live yet, so there is nothing for a canary to stand beside")
    if version == live:
        raise CanaryRefused(f"version {version!r} is live: everybody gets it already")
    if pinned is not None:
        raise CanaryRefused(
            f"version {pinned!r} is pinned, so everybody is to get it; lift the pin first"
        )
    if running is None:
        return Canary(version=version, share=share, started_at=at)
    if running.version != version:
        raise CanaryRefused(
            f"version {running.version!r} is the canary already, for {running.share:.0%} of the "
            "users; stop or promote it first"
        )
    return running.model_copy(update={"share": share})
