"""The data folder that an import makes: whole or absent, and never somebody else's.

Knows names of files and folders; knows nothing about what is in them.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from training.data.files import sync_folder
from training.data.tables import DataError
from training.ingest.interactions import ITEM, LABEL, TIME, USER, VALUE
from training.ingest.items import PUBLIC

MAPPING, SUMMARY, REJECTS = "mapping.toml", "import.json", "rejects.csv"
UNAVAILABLE = "unavailable.txt"
"""Ids of items that may not be shown, one per line."""
ENCODED = ".encoded.sqlite"
"""The cache of encoded contents, by content: valid for whatever items come next."""


def check_target(out: Path, force: bool) -> None:
    """DataError if `out` is there already: unless it is empty, or `force` and of an import."""
    _restore(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / SUMMARY).is_file():
        raise DataError(
            out, "is there and was not made by this command", "name another folder with --out"
        )
    if not force:
        raise DataError(
            out, "is there already", "replace it with --force, or name another folder with --out"
        )


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `out` in one step once all is written."""
    partial, old = _partial(out), _old(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for path in partial.iterdir():
            _sync(path)
        if out.exists():
            if (out / ENCODED).exists():
                shutil.copyfile(out / ENCODED, partial / ENCODED)
            out.rename(old)
        partial.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise DataError(
            out, f"cannot be written ({error.strerror})", "name another folder with --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _restore(out)


def write_interactions(choices: pl.DataFrame, threshold: float | None, path: Path) -> None:
    """The `.inter` file. With a threshold `rating` is 1 for a like and 0 for what is only seen."""
    columns = [pl.col(USER).alias("user_id"), pl.col(ITEM).alias("item_id")]
    if VALUE in choices.columns:
        if threshold is None:
            columns.append(pl.col(VALUE).alias("rating"))
        else:
            columns.append((pl.col(VALUE) >= threshold).cast(pl.Int8).alias("rating"))
            columns.append(pl.col(VALUE))
    if TIME in choices.columns:
        whole = bool((choices[TIME] % 1 == 0).all())
        columns.append(pl.col(TIME).cast(pl.Int64 if whole else pl.Float64).alias("timestamp"))
    if LABEL in choices.columns:
        columns.append(pl.col(LABEL).alias("x_label"))
    _write_table(choices.select(columns), path)


def write_items(items: pl.DataFrame, path: Path) -> None:
    """The item table: its columns are those that training reads by name."""
    _write_table(items.rename({PUBLIC: "item_id"}), path)


def _write_table(table: pl.DataFrame, path: Path) -> None:
    table.write_csv(path, separator="\t", quote_style="never", float_scientific=False)


def _restore(out: Path) -> None:
    """Finish or undo a replacement that was killed between its two steps."""
    if _old(out).exists():
        if out.exists():
            shutil.rmtree(_old(out))
        else:
            _old(out).rename(out)


def _partial(out: Path) -> Path:
    return out.with_name(f".{out.name}.importing")


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
