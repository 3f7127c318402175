"""What a part of the benchmark is: a name, and a measurement that yields figures and a table.

Knows nothing about what is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a part has measured."""

    figures: Mapping[str, float]
    """Flat names of `bench.json`, each in one part only."""
    text: str
    """Markdown for docs/benchmarks.md: protocol, table, what limits a figure short of its aim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One subject, measured in one go."""

    name: str
    """As in `BENCH=name`."""
    summary: str
    """One line for `--help`."""
    measure: Callable[[], Outcome]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
