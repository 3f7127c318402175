"""A canary: a published version that serves a share of the users beside the live one.

This is what `KeySpace.canary` holds, and who belongs to the share.
"""

import hashlib
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from model.registry.keys import check_name
from model.registry.records import Variant

MAX_SHARE = 0.5
"""A version that most users get is the live one."""

Outcome = Literal["promoted", "stopped", "rolled_back", "superseded"]
"""How a canary ends: it went live; somebody stopped it; a replica saw it misbehave; another version
went live or was pinned."""


class Canary(BaseModel):
    """The latest canary of a namespace, running or ended."""

    model_config = ConfigDict(
        frozen=True, hide_input_in_errors=True, extra="forbid", allow_inf_nan=False
    )

    version: Annotated[str, AfterValidator(partial(check_name, what="model version"))]
    share: float = Field(gt=0, le=MAX_SHARE)
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    """None while it runs."""
    reason: str = ""
    """Why it ended, for people."""

    @classmethod
    def parse(cls, stored: bytes | str | None) -> Self | None:
        """What a key holds; None if it is absent, or this release cannot read it.

        Everybody then gets the live version, and the next canary overwrites the key.
        """
        with suppress(ValidationError):
            return None if stored is None else cls.model_validate_json(stored)
        return None

    def is_same(self, other: "Canary | None") -> bool:
        """Whether two records are of one canary, whatever its share and its end."""
        mine = self.version, self.started_at
        return other is not None and mine == (other.version, other.started_at)

    def takes(self, user_id: str) -> bool:
        """Whether a user belongs to the share.

        They do if the first 8 bytes of SHA-256 over version, newline and user id, as a big-endian
        fraction of 2^64, are below the share. Every process and release agrees; a larger share
        keeps the users of a smaller one; another version draws other users.
        """
        return int.from_bytes(self.draw(user_id), "big") < self.share * 2**64

    def variant_of(self, user_id: str) -> Variant:
        """What a user gets wherever the canary is served."""
        return "challenger" if self.takes(user_id) else "champion"

    def draw(self, user_id: str) -> bytes:
        """The 8 bytes that decide for a user."""
        return hashlib.sha256(f"{self.version}\n{user_id}".encode()).digest()[:8]

    def ended(self, outcome: Outcome, reason: str, at: datetime) -> Self:
        """The same canary, ended."""
        return self.model_copy(update={"outcome": outcome, "reason": reason, "ended_at": at})

    def superseded_by(self, live: str, at: datetime, *, pinned: bool) -> Self:
        """The same canary, ended because the version `live` went live or was pinned."""
        if live == self.version:
            return self.ended("promoted", f"{live} went live", at)
        return self.ended("superseded", f"{live} {'was pinned' if pinned else 'went live'}", at)
