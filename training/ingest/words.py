"""Lists as shops store them in text: their values become categories."""

import ast
import csv
import json
import re
from collections.abc import Callable

import polars as pl

_STORED = r"^\s*(?:\[.*\]|\{.*\})\s*$"
_LABELS = ("name", "title", "label", "value", "slug")
"""Of an object that stands for a category: what it is called."""
_FLAT = "|"


def flat_lists(text: pl.Expr, mark: str = _FLAT) -> pl.Expr:
    """Lists stored as text (JSON, Python, PostgreSQL) with a mark between their values."""
    stored = pl.when(text.str.contains(_STORED)).then(text)
    return pl.coalesce(_mapped(stored, lambda each: flat_list(each, mark)), text)


def _mapped(text: pl.Expr, function: Callable[[str], str]) -> pl.Expr:
    return text.map_elements(function, return_dtype=pl.String, skip_nulls=True)


def flat_list(text: str, mark: str = _FLAT) -> str:
    """One such list; the text as it is if it is none."""
    for read in (json.loads, ast.literal_eval, _of_postgres):
        try:
            return mark.join(labels(read(text)))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, csv.Error):
            continue
    return text


def labels(value: object) -> list[str]:
    """The texts in a value of JSON; of an object, what it is called, or else all its texts."""
    if isinstance(value, list | tuple | set):
        return [label for each in value for label in labels(each)]
    if isinstance(value, dict):
        called = next((value[key] for key in _LABELS if isinstance(value.get(key), str)), None)
        return labels(list(value.values()) if called is None else called)
    return [] if value is None else [str(value)]


def _of_postgres(text: str) -> list[str]:
    """`{Tea,"Green tea"}`; ValueError for anything else."""
    if not re.fullmatch(r"\s*\{[^{}:]*\}\s*", text):
        raise ValueError(text)
    return next(csv.reader([text.strip()[1:-1]], strict=True), [])
