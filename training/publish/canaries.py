"""The canary's key, as the side that publishes changes it: in transactions that watch it.

Knows the key; when there may be a canary is said by `model.contract.canary`.
"""

from datetime import UTC, datetime

from model.contract.canary import Canary, CanaryRefused, begin
from model.contract.keys import KeySpace
from training.publish.connection import Transaction, text
from training.publish.errors import PublishError


def begin_canary(
    version: str,
    share: float,
    live: bytes | str | None,
    pinned: bytes | str | None,
    running: Canary | None,
) -> Canary:
    """`model.contract.canary.begin`, now; PublishError if there can be none."""
    try:
        return begin(
            version,
            share,
            datetime.now(UTC),
            live=None if live is None else text(live),
            pinned=None if pinned is None else text(pinned),
            running=running,
        )
    except CanaryRefused as error:
        raise PublishError(str(error)) from error


def queue_canary(pipe: Transaction, keys: KeySpace, canary: Canary, *, is_new: bool) -> None:
    """Queue what records a canary, begun, changed or ended, and announces that."""
    pipe.set(keys.canary, canary.model_dump_json())
    if is_new:
        pipe.delete(keys.canary_answers)
    # Spelt out: redis-py has no `publish` in a cluster's transaction, though servers do.
    pipe.execute_command("PUBLISH", keys.events, canary.version)  # type: ignore[no-untyped-call]


def queue_end(
    pipe: Transaction, keys: KeySpace, running: Canary | None, live: str, *, pinned: bool
) -> None:
    """Queue the end of a running canary, if there is one, as `live` goes live or is pinned."""
    if running is not None:
        ended = running.outrun(live, datetime.now(UTC), pinned=pinned)
        queue_canary(pipe, keys, ended, is_new=False)
