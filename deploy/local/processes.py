"""A child process that never outlives its parent and never gets the terminal's Ctrl-C.

It has its own session, which keeps the terminal's signals away, so that children stop in the order
in which the parent stops them.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Self

from training.errors import ExplainedError

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 15
_POLL_SECONDS = 0.05
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the parent to stop; its handler may raise."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildDied(ExplainedError):
    """A child ended that should have gone on; the message carries the end of its log."""


class Child:
    """A running process; stopped on exit from the context.

    Args:
        name: how messages call it.
        command: program and arguments.
        log: where its output goes, anew at each start; None for our own output.
        env: its whole environment; None for ours.
        cwd: its working directory; None for ours.
        grace_seconds: how long it may take to stop before it is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self._log = log
        self._grace_seconds = grace_seconds
        output: IO[bytes] | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()),
            )
        finally:
            if output is not None:
                output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        while (status := self.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return status

    def check(self) -> None:
        """Raise ChildDied, with the last lines of its log, unless it is running."""
        if self.poll() is not None:
            raise ChildDied(f"{self.name} ended ({self._ending()}){self._last_lines()}")

    def stop(self) -> None:
        """Ask it to end, and see to it; does nothing if it has ended."""
        with _signals_held():
            self._process.terminate()
        deadline = time.monotonic() + self._grace_seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                with _signals_held():
                    self._process.kill()
            time.sleep(_POLL_SECONDS)

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        with _signals_held():
            return self._process.poll()

    def _ending(self) -> str:
        code = self._process.returncode
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def _last_lines(self) -> str:
        if self._log is None:
            return ""
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "".join(f"\n    {line}" for line in [f"the end of {self._log}:", *lines])


def wait_until(
    reached: Callable[[], bool],
    failure: Callable[[], str],
    children: Sequence[Child],
    seconds: float,
    pause: float = _POLL_SECONDS,
) -> None:
    """Return once `reached()` holds.

    Raises:
        ChildDied: one of `children` has ended, or the time is up; then `failure()` is the message.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise ChildDied(failure())
        time.sleep(pause)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait while Popen holds its lock.

    A handler that raises between Popen's taking the lock and its releasing it leaves the lock
    taken for good, and every later wait for the child without an end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with(parent: int) -> None:
    """Linux only: the kernel sends SIGTERM when the parent is gone, even by SIGKILL."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
