"""Locks of one namespace, one for publishing and one for retraining, with fencing tokens.

Each holder draws its own token from a counter. What needs the lock is done in a transaction that
watches the lock's key and compares the token (`FencedLock.guard`).
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, Optional, Self

from model.registry.keys import KeySpace
from training.publish.connection import (
    FAULTS,
    Client,
    LockHeldError,
    LockLostError,
    Transaction,
    text,
)

_RETRY_SECONDS = 0.1


class FencedLock:
    """Taken on entry, kept alive by `keep`, given back on exit if it is still ours.

    It lives for `lock_seconds` unless renewed; entering waits `wait_seconds` for another holder. A
    lock `within` must be held as well: without it this one guards nothing.
    """

    key: ClassVar[str]
    """The name of its key in `KeySpace`."""
    holder: ClassVar[str]
    """The holder's name in messages."""

    def __init__(
        self,
        client: Client,
        keys: KeySpace,
        *,
        lock_seconds: float,
        wait_seconds: float = 0.0,
        within: Optional["FencedLock"] = None,
    ) -> None:
        self._client = client
        self._key: str = getattr(keys, self.key)
        self._fence = keys.fence
        self._life_ms = max(1, round(lock_seconds * 1000))
        self._wait_seconds = wait_seconds
        self._locks = (self,) if within is None else (self, within)
        self._renewed_at = 0.0
        self.token = ""

    def __enter__(self) -> Self:
        number = self._client.incr(self._fence)
        self.token = f"{number}@{socket.gethostname()}:{os.getpid()}"
        deadline = time.monotonic() + self._wait_seconds
        while not self._take():
            if time.monotonic() >= deadline:
                raise LockHeldError(self._held_by())
            time.sleep(_RETRY_SECONDS)
        self._renewed_at = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        def drop(pipe: Transaction) -> None:
            mine = pipe.get(self._key) == self.token.encode()
            pipe.multi()
            if mine:
                pipe.delete(self._key)

        with suppress(*FAULTS):
            self._client.transaction(drop, self._key)

    def guard(self, change: Callable[[Transaction], object], *watched: str) -> None:
        """Run `change` in a transaction that takes place only while we hold the lock.

        `change` gets a pipeline that watches the lock and `watched`: it may read, then calls
        `multi()` and queues its writes. It is called again if a watched key changes meanwhile.

        Raises:
            LockLostError: the token is no longer the lock's value.
        """

        def fenced(pipe: Transaction) -> None:
            for lock in self._locks:
                if pipe.get(lock._key) != lock.token.encode():
                    raise LockLostError(
                        f"lost the {lock.holder}'s lock (this {lock.holder} was too slow, or was "
                        "paused); the live version was left alone: publish again"
                    )
            change(pipe)

        self._client.transaction(fenced, *(lock._key for lock in self._locks), *watched)

    def renew(self) -> None:
        """Give the lock its whole life again; LockLostError if it is no longer ours."""

        def extend(pipe: Transaction) -> None:
            pipe.multi()
            pipe.pexpire(self._key, self._life_ms)

        self.guard(extend)
        self._renewed_at = time.monotonic()

    def keep(self) -> None:
        """Renew if a third of the lock's life has gone; to be called between small steps."""
        if time.monotonic() - self._renewed_at > self._life_ms / 3000:
            self.renew()

    @contextmanager
    def renewed(self, every_seconds: float | None = None) -> Iterator[None]:
        """Keep it alive from a thread, while something runs that cannot call `keep`.

        By default it is renewed three times in its life. The next `guard` notices a lost lock. An
        outage shorter than the lock's life does no harm.
        """
        done = threading.Event()
        pause_seconds = every_seconds or self._life_ms / 3000

        def beat() -> None:
            while not done.wait(pause_seconds):
                with suppress(*FAULTS):
                    try:
                        self.renew()
                    except LockLostError:
                        return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _take(self) -> bool:
        if self._client.set(self._key, self.token, nx=True, px=self._life_ms):
            return True
        # A retried SET whose first answer was lost finds our own token there.
        return self._client.get(self._key) == self.token.encode()

    def _held_by(self) -> str:
        holder = text(self._client.get(self._key) or "somebody")
        seconds = max(0, self._client.pttl(self._key)) / 1000
        return (
            f"another {self.holder} ({holder}) holds the lock {self._key}, "
            f"for {seconds:.0f} s more unless it renews it; wait and try again"
        )


class RetrainLock(FencedLock):
    """One retraining per namespace; publishing by hand goes on beside it."""

    key, holder = "retrain_lock", "retraining"


class PublishLock(FencedLock):
    """One publisher per namespace."""

    key, holder = "lock", "publisher"
