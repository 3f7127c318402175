"""How much is done of what takes time: a bar, or lines where standard error is no terminal."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
Draw = Callable[[int, str], None]
"""Draws a bar: how much is done, and the text beside it."""
_REPORT_EVERY_S = 10.0


@contextmanager
def drawn_bar(title: str, total: int) -> Iterator[Draw | None]:
    """A bar while the step lasts, or None where there is no terminal.

    Args:
        title: what is being done.
        total: how much of it there is at most; the bar tells the time that is left.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)


@contextmanager
def progress_shown(title: str, total: int, done_word: str) -> Iterator[Draw]:
    """Yield what tells how much is done: a bar, or a line every few seconds without a terminal.

    Args:
        title: what is being done, for the bar.
        total: how much of it there is.
        done_word: what has become of what is done, for the lines: "encoded".
    """
    started = shown = time.monotonic()

    def log_line(done: int, _note: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > _REPORT_EVERY_S:
            shown = now
            left_s = (now - started) / done * (total - done)
            log.info(f"{done:,} of {total:,} {done_word}, about {left_s:,.0f} s left")

    with drawn_bar(title, total) as draw:
        yield draw or log_line
