"""Tables as they are read, checked as a whole: how many rows are bad, and what is left of them.

Composes readers and checks; knows nothing about what is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from training.intake import summary
from training.intake.catalogue import ID, PUBLIC, read_catalogue
from training.intake.checks import id_checks, passed
from training.intake.choices import ITEM, USER, VALUE, PublicIds, read_choices
from training.intake.given import Given
from training.intake.mapping import InteractionMapping, Mapping
from training.intake.pictures import Pictures, find_pictures
from training.intake.rejects import Rejects
from training.intake.repeats import keep_frequent, merge_repeats
from training.intake.source import LINE, Source
from training.tables import DataError

_EXAMPLES = 3
"""Ids that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedItems:
    """The item table."""

    sources: Sequence[Source]
    table: pl.DataFrame
    """As `read_catalogue` makes it."""
    pictures: Pictures
    rejects: Rejects
    public: PublicIds | None
    merged: int
    """Rows of items that had come before, where the interactions' own rows tell about items."""

    @classmethod
    def load(cls, given: Given, mapping: Mapping) -> Self | None:
        """None if the mapping names no items; DataError if they cannot be used."""
        columns = mapping.items
        if columns is None:
            return None
        sources, rejects = given.sources(columns, mapping), Rejects()
        within = set(columns.files) == set(mapping.interactions.files)
        table, merged = read_catalogue(sources, columns, rejects, repeated=within)
        _check_rejected(rejects, len(table) + merged, mapping.max_rejected, sources)
        public = None
        if columns.public_id is not None:
            public = _public_ids(table[ID], table[PUBLIC], sources[0].path)
        return cls(
            sources=sources,
            table=table,
            pictures=find_pictures(
                table, [source.path.parent for source in sources], columns.picture_folder
            ),
            rejects=rejects,
            public=public,
            merged=merged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedUsers:
    """Other ids for users."""

    public: PublicIds
    rejects: Rejects

    @classmethod
    def load(cls, given: Given, mapping: Mapping) -> Self | None:
        """None if the mapping names no users; DataError if they cannot be used."""
        columns = mapping.users
        if columns is None:
            return None
        sources, rejects = given.sources(columns, mapping), Rejects()
        names = {"id": columns.id, "public": columns.public_id}
        read = [pl.col(column).str.strip_chars().alias(name) for name, column in names.items()]
        checks = [check for name in names for check in id_checks("user", name)]
        table = pl.concat(
            passed(batch.select(*read, LINE), checks, source.path, rejects)
            for source in sources
            for batch in source.batches(list(dict.fromkeys(names.values())), rejects)
        )
        _check_rejected(rejects, len(table), mapping.max_rejected, sources)
        public = _public_ids(table["id"], table["public"], sources[0].path)
        return cls(public=public, rejects=rejects)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedChoices:
    """The interactions, in three states."""

    sources: Sequence[Source]
    read: pl.DataFrame
    """All usable rows."""
    merged: pl.DataFrame
    """One row per user and item."""
    kept: pl.DataFrame
    """Without users and items that have too few."""
    rejects: Rejects

    @classmethod
    def load(
        cls, given: Given, mapping: Mapping, users: PublicIds | None, items: PublicIds | None
    ) -> Self:
        """DataError if they cannot be used or none are left."""
        columns, rejects = mapping.interactions, Rejects()
        sources = given.sources(columns, mapping)
        read = read_choices(sources, columns, rejects, users, items)
        _check_rejected(rejects, len(read), mapping.max_rejected, sources)
        merged = merge_repeats(read, columns.merging)
        kept = keep_frequent(merged, columns.min_per_user, columns.min_per_item)
        _check_left(merged, kept, columns, sources[0].path)
        return cls(sources=sources, read=read, merged=merged, kept=kept, rejects=rejects)


def check_linked(choices: LoadedChoices, items: LoadedItems) -> None:
    """DataError if no item that was chosen is in the item table: their ids are not the same."""
    chosen, known = choices.kept[ITEM].unique(maintain_order=True), items.table[PUBLIC]
    if chosen.is_in(known.implode()).any():
        return
    ours, theirs = (", ".join(map(repr, ids.head(_EXAMPLES))) for ids in (chosen, known))
    names = choices.sources[0].path.name
    raise DataError(
        items.sources[0].path,
        f"has none of the items in {names}: ids there are {ours}, here {theirs}",
        f"write the columns that hold the same ids into the mapping, or go without this file: "
        f'ignore = ["{items.sources[0].path.name}"] at the top, and no [items]',
    )


def _public_ids(ids: pl.Series, public: pl.Series, path: Path) -> PublicIds:
    for series in (ids, public):
        if series.is_duplicated().any():
            twice = series.filter(series.is_duplicated())[0]
            raise DataError(
                path,
                f"names {twice!r} more than once",
                "ids and the ids that stand for them must go one to one",
            )
    return PublicIds(of=dict(zip(ids, public, strict=True)), file=path.name)


def _check_rejected(
    rejects: Rejects, num_usable: int, share: float, sources: Sequence[Source]
) -> None:
    num_read = num_usable + len(rejects)
    if num_read == 0:
        raise DataError(sources[0].path, "has no rows", "give a file that has some")
    if num_usable == 0 or len(rejects) > share * num_read:
        found = summary.reasons(rejects.frame)
        named = "; ".join(f"{x.rows:,} x {why}, as {x.examples[0]}" for why, x in found.items())
        bound = f", more than {share:.0%}" if num_usable else ""
        raise DataError(
            sources[0].path,
            f"{len(rejects):,} of {num_read:,} rows cannot be used{bound}: {named}",
            "correct the mapping or the file, or write max_rejected = 1.0 at the top of the "
            "mapping (or give --max-rejected 1) to go on without these rows",
        )


def _check_left(
    merged: pl.DataFrame, kept: pl.DataFrame, columns: InteractionMapping, path: Path
) -> None:
    if kept.is_empty():
        user, item = (summary.spread(merged, by).most for by in (USER, ITEM))
        raise DataError(
            path,
            f"no interactions are left: min_per_user is {columns.min_per_user} and min_per_item "
            f"{columns.min_per_item}, the most active user has {user:,} rows and the most chosen "
            f"item {item:,}",
            "choose smaller minimums",
        )
    threshold = columns.threshold
    if threshold is not None and not (kept[VALUE] >= threshold).any():
        largest = kept.sort(VALUE)[VALUE][-1]
        raise DataError(
            path,
            f"no rating reaches min_rating = {threshold:g}, the largest is {largest:g}",
            "choose a smaller min_rating",
        )
