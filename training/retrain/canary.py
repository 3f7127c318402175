"""Has a canary held for long enough to go live?

Knows the settings and what is recorded of a canary; whether it misbehaves is seen by the service.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from model.contract.canary import Canary
from training.retrain.ledger import Ledger
from training.retrain.settings import CanarySettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to become of this run, now that an earlier canary has been dealt with."""

    wait: str = ""
    """Why it is to make no model; empty if it may."""
    promoted_at: datetime | None = None


def settle(ledger: Ledger, settings: CanarySettings) -> Settled:
    """Promote a canary that has held; one that has ended stands in nobody's way."""
    running = ledger.canary()
    if running is None:
        return Settled()
    canary, answers = running
    now = datetime.now(UTC)
    wait = verdict(canary, answers, now, settings)
    if wait is not None:
        return Settled(wait=wait)
    if not ledger.promote(canary):
        return Settled()
    log.info(f"the canary {canary.version} has held for {answers} answers and is live")
    return Settled(promoted_at=now)


def verdict(canary: Canary, answers: int, now: datetime, settings: CanarySettings) -> str | None:
    """Why a running canary is not to be promoted yet, for people; None if it is."""
    name = f"the canary {canary.version} serves {canary.share:.1%} of the users"
    if settings.share == 0:
        return f"{name}, and no settings say when to promote it: `promote` it or `canary --stop`"
    ready_at = canary.started_at + timedelta(minutes=settings.min_minutes)
    if now < ready_at:
        return f"{name} and is to do so until {ready_at:%Y-%m-%d %H:%M} UTC at least"
    if answers < settings.min_answers:
        return f"{name} and has given {answers} answers, at least {settings.min_answers} are needed"
    return None
