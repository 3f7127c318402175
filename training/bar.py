"""A bar on the terminal for a step whose length is known.

Knows terminals; knows nothing about the step. Where standard error is no terminal nothing is drawn,
and whoever works writes lines instead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Draw = Callable[[int, str], None]
"""How much is done, and what to say beside the bar."""


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
