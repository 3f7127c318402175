"""The import: somebody's files and what they mean in, a data folder out.

Composes loading and writing; knows nothing about the command line or about guessing.
"""

import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.intake.account import account
from training.intake.catalogue import CATEGORIES, DESCRIPTION, HIDDEN, PUBLIC, TITLE, YEAR
from training.intake.features import copy_features, write_features_by_id, write_features_by_line
from training.intake.folder import (
    MAPPING,
    REJECTS,
    SUMMARY,
    UNAVAILABLE,
    check_target,
    replaced,
    write_interactions,
    write_items,
)
from training.intake.given import Given
from training.intake.loaded import LoadedChoices, LoadedItems, LoadedUsers, check_linked
from training.intake.mapping import ItemMapping, Mapping, mapping_text, said
from training.intake.pictures import PICTURE_URL, bring
from training.intake.source import UNREADABLE
from training.intake.summary import Summary
from training.tables import DataError

_COLUMNS = (PUBLIC, TITLE, YEAR, CATEGORIES, DESCRIPTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """What to read, what it means, and where it goes."""

    files: Sequence[Path]
    mapping: Mapping
    out: Path
    force: bool
    """Replace an earlier import."""


def run_import(job: ImportJob) -> Summary:
    """Write the folder, whole or not at all.

    Raises:
        DataError: files, mapping or `out` cannot be used; nothing was changed.
    """
    start = time.perf_counter()
    check_target(job.out, job.force)
    with _garbage_kept():
        return _import(job, start)


def _import(job: ImportJob, start: float) -> Summary:
    given = Given.of(job.files)
    given.check_used(job.mapping)
    items = LoadedItems.load(given, job.mapping)
    users = LoadedUsers.load(given, job.mapping)
    choices = LoadedChoices.load(
        given, job.mapping, users.public if users else None, items.public if items else None
    )
    if items is not None:
        check_linked(choices, items)
    with replaced(job.out) as folder:
        threshold = job.mapping.interactions.threshold
        write_interactions(choices.kept, threshold, folder / f"{job.out.name}.inter")
        if items is None:
            copy_features(given.features, folder)
        else:
            assert job.mapping.items is not None
            write_items(_item_table(items), folder / "items.tsv")
            bring(items.pictures, folder)
            if HIDDEN in items.table.columns:
                hidden = items.table.filter(HIDDEN)[PUBLIC]
                (folder / UNAVAILABLE).write_text("".join(f"{x}\n" for x in hidden), "utf-8")
            _write_features(given.features, items, job.mapping.items, folder)
        for path in given.knowledge:
            shutil.copyfile(path, folder / path.name)
        rejects = [x.rejects.frame for x in (choices, items, users) if x is not None]
        pl.concat(rejects).unique(maintain_order=True).write_csv(folder / REJECTS)
        (folder / MAPPING).write_text(mapping_text(said(job.mapping)), encoding="utf-8")
        summary = account(
            job.out.name, choices, items, threshold, given.features, time.perf_counter() - start
        )
        (folder / SUMMARY).write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return summary


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """No search for cyclic garbage: millions of short lists make none, and it takes half the time.

    Measured on a million rows of CSV: 2.7 seconds of processor time instead of 5.9.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _item_table(items: LoadedItems) -> pl.DataFrame:
    table = items.table.select(name for name in _COLUMNS if name in items.table.columns)
    urls = items.pictures.urls
    return table.with_columns(urls.alias(PICTURE_URL)) if (urls != "").any() else table


def _write_features(
    files: Sequence[Path], items: LoadedItems, mapping: ItemMapping, folder: Path
) -> None:
    if not files:
        return
    if mapping.feature_rows == "id":
        write_features_by_id(files, items.table, folder)
        return
    rejects = items.rejects.frame
    unreadable = rejects.filter(pl.col("reason").is_in(UNREADABLE))
    if len(unreadable):
        raise DataError(
            items.sources[0].path,
            f"{unreadable['reason'][0]}: rows of {files[0].name} after it cannot be told",
            "repair this line",
            line=unreadable["line"][0],
        )
    num_records = len(items.table) + items.merged + len(rejects)
    write_features_by_line(files, items.table, num_records, folder)
