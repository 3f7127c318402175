"""Benchmarks of several parts: measure those asked for, print tables, write the figures."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local.processes import ChildDied
from training.data.files import write_durably
from training.reporting.documents import table, update_document

SCALE_VARIABLE = "BENCH_SCALE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a part has measured."""

    figures: Mapping[str, float]
    """Figures by name for `bench.json`; no two parts use the same name."""
    text: str
    """Markdown for docs/benchmarks.md."""

    @classmethod
    def of(
        cls,
        figures: Mapping[str, float],
        protocol: str,
        rows: Sequence[Mapping[str, str]],
        limits: str = "",
    ) -> Self:
        """Figures and their section.

        Args:
            figures: for `bench.json`.
            protocol: the section's title and how was measured.
            rows: of the table: cells by column, the same columns in all.
            limits: what keeps a figure from its aim.
        """
        cells = table(list(rows[0]), [list(row.values()) for row in rows])
        return cls(figures=figures, text="\n\n".join(filter(None, (protocol, cells, limits))))


@dataclass(frozen=True, slots=True)
class Part:
    """One subject, measured in one go."""

    name: str
    """Its name in `BENCH=name`."""
    summary: str
    """One line for `--help`."""
    measure: Callable[[], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A command that measures its parts one after the other."""

    module: str
    summary: str
    parts: Sequence[Part]
    results: Path
    """Where the figures are written unless `--out` says otherwise."""
    section: str
    """Prefix of its sections' names in a document."""

    def main(self, arguments: list[str] | None = None) -> int:
        """Run the command; exit status 1 with a message if it cannot be done."""
        parser = argparse.ArgumentParser(
            prog=f"python -m {self.module}",
            description=self.summary,
            epilog="Parts: " + "; ".join(f"{part.name}: {part.summary}" for part in self.parts),
        )
        parser.add_argument(
            "--parts",
            type=self._chosen,
            default=list(self.parts),
            help="names with commas (default: all)",
        )
        parser.add_argument("--out", type=Path, default=self.results, help="default: %(default)s")
        parser.add_argument(
            "--document", type=Path, help="write each part's section into this file"
        )
        options = parser.parse_args(arguments)
        try:
            for part in options.parts:
                self._run(part, options.out, options.document)
        except (ChildDied, OSError, ValueError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        return 0

    def _chosen(self, names: str) -> list[Part]:
        by_name = {part.name: part for part in self.parts}
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        unknown = [name for name in wanted if name not in by_name]
        if unknown or not wanted:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown) or 'nothing'} is no part of it: "
                f"choose from {','.join(by_name)}"
            )
        return [by_name[name] for name in wanted]

    def _run(self, part: Part, results: Path, document: Path | None) -> None:
        sys.stderr.write(f"{part.name}: {part.summary} ...\n")
        outcome = part.measure()
        sys.stdout.write(f"{outcome.text}\n\n")
        sys.stdout.flush()
        add_figures(results, outcome.figures)
        if document is not None:
            update_document(document, f"{self.section} {part.name}", outcome.text)


def add_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Put figures into the file, keeping those of other parts; it is never half-written.

    Raises:
        ValueError: the file holds something other than a JSON object.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    if not isinstance(kept, dict):
        raise ValueError(f"{path} is not a JSON object: move it away")
    text = json.dumps(kept | dict(figures), indent=1, sort_keys=True) + "\n"
    write_durably(path, lambda partial: partial.write_text(text))


def scale() -> float:
    """The share of their full length and size that long benchmarks run for; ValueError."""
    text = os.environ.get(SCALE_VARIABLE, "1")
    with suppress(ValueError):
        if 0 < (share := float(text)) <= 1:
            return share
    raise ValueError(f"{SCALE_VARIABLE} is {text!r}: it must be above 0 and at most 1")


def scaled(full: int, least: int) -> int:
    """`full` times `scale()`, at least `least`."""
    return max(least, round(full * scale()))
