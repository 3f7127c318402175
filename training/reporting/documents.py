"""Markdown documents that hold one section per data set, each between its own markers."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

_INTRODUCTION = """# Benchmarks

Each section is written by one command, which stands in it; text between its markers is replaced
when the command runs again.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Cells are not padded, so that one that changes changes one line."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, stralign=None)


class EvaluationProtocol(NamedTuple):
    """How all sections of a kind were measured. A document has it once."""

    kind: str
    """Its section in the document is named after that."""
    text: str
    """Markdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where a report goes, besides standard output."""

    json: Path | None = None
    """File for all figures."""
    document: Path | None = None
    """Markdown file of which one section is replaced."""

    def write(
        self,
        name: str,
        section: str,
        figures: Mapping[str, object],
        protocol: EvaluationProtocol | None = None,
    ) -> None:
        """Print the section, and write figures and section to their files.

        Args:
            name: of the section in the document.
            section: Markdown.
            figures: what JSON can hold.
            protocol: printed below the section.
        """
        printed = section if protocol is None else f"{section}\n\n{protocol.text}"
        sys.stdout.write(f"{printed}\n")
        if self.json:
            self.json.write_text(json.dumps(figures, indent=1) + "\n")
        if self.document and protocol:
            update_document(self.document, f"{protocol.kind} protocol", protocol.text)
        if self.document:
            update_document(self.document, name, section)

    def link(self, picture: Path | None) -> str | None:
        """How the document refers to a picture; None without one of them."""
        if picture is None or self.document is None:
            return None
        return Path(os.path.relpath(picture, self.document.parent)).as_posix()


def update_document(path: Path, name: str, text: str) -> None:
    """Replace the section of this name, or append it; all else stays as it is.

    Raises:
        ValueError: the document has a start marker without its end.
    """
    start, end = (f"<!-- benchmark {name} {x} -->" for x in ("start", "end"))
    section = f"{start}\n{text}\n{end}"
    document = path.read_text(encoding="utf-8") if path.exists() else _INTRODUCTION
    if start in document:
        before, rest = document.split(start, 1)
        if end not in rest:
            raise ValueError(f"{path} has {start!r} but not {end!r}: restore it or remove both")
        document = before + section + rest.split(end, 1)[1]
    else:
        document = f"{document.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, encoding="utf-8")
