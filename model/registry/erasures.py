"""Erasures: users who are to be forgotten, and how far that has come.

The service records an erasure and takes the user out of Redis; training rewrites what it keeps. A
model version knows by number which erasures it was made after. A user who comes back later is a new
one.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

Part = Literal["redis", "log", "data", "artifacts"]
"""What has to be rewritten: stored versions and waiting events, the event log, the interactions of
the data folder, and runs that are kept on disk."""
PARTS: tuple[Part, ...] = get_args(Part)
KEEP_DONE = timedelta(days=90)
"""How long the record of a finished erasure stays, as a proof; it holds no id."""
_HASH_DIGITS = 16
"""64 bits: two of ten million users share one with a probability of 3e-6."""


def hashed(user_id: str, key: bytes) -> str:
    """What stands for a user where the id must not: a keyed hash, 16 hex digits.

    Ref: HMAC, RFC 2104, with SHA-256.
    """
    return hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]


class Erasure(BaseModel):
    """One user who is to be forgotten."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    erasure_id: str
    number: int
    """The value of `KeySpace.erasures_revision` when it was asked for, the last time."""
    user_hash: str
    user_id: str | None = None
    """None once all parts are done: nobody needs to know it any more."""
    requested_at: AwareDatetime
    """What was received until then is erased."""
    done: Mapping[Part, AwareDatetime] = {}
    """Times at which the parts were done."""

    @property
    def waiting(self) -> tuple[Part, ...]:
        """The parts that are still to be done."""
        return tuple(part for part in PARTS if part not in self.done)

    def with_done(self, part: Part, at: datetime) -> "Erasure":
        """The record after a part was done; after the last one it has no id."""
        after = self.model_copy(update={"done": {**self.done, part: at}})
        return after if after.waiting else after.model_copy(update={"user_id": None})

    def is_outdated(self, now: datetime) -> bool:
        """Whether the record may go."""
        return not self.waiting and max(self.done.values()) < now - KEEP_DONE

    @classmethod
    def parse(cls, text: bytes | str) -> Self | None:
        """A stored record; None if it is not usable."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None


def all_of(stored: Iterable[bytes]) -> list[Erasure]:
    """The records of the hash `KeySpace.erasures`, oldest first; unusable ones are left out."""
    found = map(Erasure.parse, stored)
    return sorted((each for each in found if each is not None), key=lambda each: each.number)
