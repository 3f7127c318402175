"""What an operator may choose about publishing: patience, and which old versions stay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPolicy:
    """Settings of one publish; the defaults suit a nightly training."""

    keep: int = 3
    """Newest complete versions that stay; the live and the previous one always do."""
    grace_seconds: float = 600.0
    """How long a superseded version beyond `keep` stays, for replicas that still load it."""
    lock_seconds: float = 30.0
    """Life of the publisher's lock unless renewed: how long a killed publisher blocks the next."""
    wait_seconds: float = 0.0
    """How long to wait for another publisher before giving up."""
    canary_share: float | None = None
    """Share of the users that the new version serves at first, as a canary; None: it goes live."""
