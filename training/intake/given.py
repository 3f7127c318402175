"""The files that somebody gives, sorted by what they are for.

Knows names and suffixes; knows nothing about columns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Self

from training.content_files import FEATURE_SUFFIX
from training.intake.mapping import Mapping, TableMapping
from training.intake.source import SAVE_SHEETS, SHEET_SUFFIXES, TABLE_SUFFIXES, Source
from training.intake.text_lines import plain_suffix
from training.tables import DataError

_KNOWLEDGE = frozenset({".kg", ".link"})
_NAMED_ONLY = frozenset({".txt", ".dat", ".data", ".json"})
"""In a folder these are rather a README or settings than a table; given by name they are tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Each list in the order of the command line, and of names within a folder."""

    tables: list[Path]
    features: list[Path]
    """`*_feat.npy`"""
    knowledge: list[Path]
    """RecBole's `.kg` and `.link`."""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """Sort files, and the files of folders; DataError for what is neither."""
        tables, features, knowledge = [], [], []
        for path in dict.fromkeys(_expanded(paths)):
            if path.name.endswith(FEATURE_SUFFIX):
                features.append(path)
            elif path.suffix in _KNOWLEDGE:
                knowledge.append(path)
            else:
                tables.append(path)
        return cls(tables=tables, features=features, knowledge=knowledge)

    @property
    def first(self) -> Path:
        """One of all, to speak about."""
        return next(iter([*self.tables, *self.features, *self.knowledge]))

    def check_used(self, mapping: Mapping) -> None:
        """DataError for a table that the mapping neither reads nor ignores."""
        named = [x for x in (mapping.interactions, mapping.items, mapping.users) if x is not None]
        patterns = [*mapping.ignore, *(name for table in named for name in table.files)]
        for path in self.tables:
            if not _matches(path, patterns):
                raise DataError(
                    path,
                    "is given, but the mapping does not say what for",
                    f'add it to the files of a table, or to ignore = ["{path.name}"] at the top',
                )

    def sources(self, table: TableMapping, mapping: Mapping) -> list[Source]:
        """The files of one table; DataError if one is missing or if their columns differ."""
        for name in table.files:
            if not any(_matches(path, [name]) for path in self.tables):
                found = ", ".join(path.name for path in self.tables) or "none"
                raise DataError(
                    Path(name),
                    f"is in the mapping but was not given (given: {found})",
                    "give it to the command, or correct files in the mapping",
                )
        return [
            Source.open(path, mapping.encoding, table.separator, table.quoted, table.columns)
            for path in self.tables
            if _matches(path, table.files)
        ]


def _expanded(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise DataError(path, "is not there", "check its path")
            yield path
            continue
        found = [inner for inner in sorted(path.iterdir()) if inner.is_file() and _of_use(inner)]
        if not found:
            sheets = any(inner.suffix in SHEET_SUFFIXES for inner in path.iterdir())
            remedy = f"expected files that end in {', '.join(_suffixes())}"
            raise DataError(path, "holds no table", SAVE_SHEETS if sheets else remedy)
        yield from found


def _of_use(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return (
        plain_suffix(path) in TABLE_SUFFIXES - _NAMED_ONLY
        or path.suffix in _KNOWLEDGE
        or path.name.endswith(FEATURE_SUFFIX)
    )


def _suffixes() -> list[str]:
    return sorted(TABLE_SUFFIXES - _NAMED_ONLY)


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(path.name == pattern or fnmatch(path.name, pattern) for pattern in patterns)
