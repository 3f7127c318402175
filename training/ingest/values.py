"""Values as people and programs write them: absent values, ids, numbers and lists.

`1,000` may mean 1 or 1000, and is only read if it is known which. A rating may be a part of
something: `4/5`, `4.0 out of 5 stars`, `80%` and `★★★★☆` are read if it is known of what.
"""

import ast
import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

MISSING = (
    *("", "na", "n/a", "nan", "none", "null", "nil", "\\n", "-", "?"),
    *("<na>", "nat", "#n/a", "(null)", "(none)", "(no genres listed)", "--", "\u2013", "\u2014"),
)
"""How absent values are written, in lower case: pandas, SQL dumps, spreadsheets, people."""
DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
WHOLE_FLOAT = r"^(\d+)\.0+$"
"""An id that a program has stored as a number with decimals."""
SHORTENED = r"^\d([.,]\d+)?[Ee]\+\d+$"
"""An id that a spreadsheet has shortened: its last digits are lost."""
_NUMBER = r"[+-]?\d+(?:[.,]\d+)*"
_PART = rf"^({_NUMBER})\s*(?:/|out of|of|von|sur|de|di)\s*(\d+(?:[.,]\d+)?)(?:\s*\pL+)?$"
_PERCENT = rf"^({_NUMBER})\s*%$"
_STARS = r"^[★☆]+$"
_UNIT = rf"^({_NUMBER})\s*(?:★|[Ss]tars?|[Ss]terne?)$"
_GROUPED = r"(\d)[ \u{a0}\u{202f}'\u{2019}](\d{3})"
"""Thousands by a space or an apostrophe mean nothing else."""

Thousands = Literal[",", "."]
_OTHER: dict[str, Thousands] = {",": ".", ".": ","}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How the numbers of a column are written."""

    thousands: Thousands | None = None
    """Between thousands; the other mark is the decimal one. None: not between thousands."""
    out_of: float | None = None
    """The most that a number written as a part of it can be."""


PLAIN = Style()


_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
"""White space, and characters without width that copying leaves at the ends of texts."""


def stripped(text: pl.Expr) -> pl.Expr:
    """Texts without blanks around them, seen or not."""
    return text.str.strip_chars(_BLANKS)


def missing(text: pl.Expr) -> pl.Expr:
    """Whether a stripped string stands for no value."""
    return text.str.to_lowercase().is_in(MISSING)


def ids(text: pl.Expr, *, normalise: bool) -> pl.Expr:
    """Stripped ids; 12.0 is 12. With `normalise`, in Unicode's form NFC."""
    bare = stripped(text.str.normalize("NFC") if normalise else text)
    return pl.coalesce(bare.str.extract(WHOLE_FLOAT), bare)


def numbers(text: pl.Expr, style: Style = PLAIN) -> pl.Expr:
    """Finite numbers; null for anything else, and for what the style does not make clear."""
    number = _number(pl.coalesce(text.str.extract(_UNIT), text), style.thousands)
    if style.out_of is not None:
        part, whole = _part(text)
        number = (
            pl.when(_number(whole, None) == style.out_of)
            .then(_number(part, style.thousands))
            .when(whole.is_null())
            .then(number)
        )
    return pl.when(number.is_finite()).then(number)


def wholes(text: pl.Series) -> list[float]:
    """The distinct denominators of ratings: 5 of `4/5`, 100 of `80%`."""
    whole = pl.select(_number(_part(pl.lit(text))[1], None)).to_series()
    return whole.drop_nulls().unique().sort().to_list()


def thousands_of(text: pl.Series) -> Thousands | Literal["unclear"] | None:
    """The mark between thousands that a column's numbers show; None if there is none."""
    part = pl.select(pl.coalesce(_part(pl.lit(text))[0], pl.lit(text))).to_series().unique()
    for mark, other in _OTHER.items():
        if _written(part, rf"(\{mark}\d{{3}}){{2,}}(\{other}\d+)?|(\{mark}\d{{3}})+\{other}\d+"):
            return _OTHER[other]
    open_comma, open_point = (_written(part, rf"{mark}\d{{3}}") for mark in (",", r"\."))
    comma, point = (_decimal(part, mark) for mark in (",", r"\."))
    if open_comma:
        return "." if comma else "," if point else "unclear"
    if open_point and not point:
        whole = part.str.contains(r"^[+-]?\d+$").any()
        return "." if comma else "unclear" if whole else None
    return None


def _written(text: pl.Series, tail: str) -> bool:
    """Whether a number begins with one to three digits and ends like this."""
    return bool(text.str.contains(rf"^[+-]?[1-9]\d{{0,2}}(?:{tail})$").any())


def _decimal(text: pl.Series, mark: str) -> bool:
    """Whether the mark stands where none of thousands can."""
    inside = rf"(?:0|\d{{4,}}){mark}\d+|\d+{mark}(?:\d{{1,2}}|\d{{4,}})"
    return bool(text.str.contains(rf"^[+-]?(?:{inside})$").any())


def _part(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """A part and its whole, as text; null where the text is neither a share nor stars."""
    stars = text.str.contains(_STARS)
    part = (
        pl.when(stars)
        .then(text.str.count_matches("★").cast(pl.String))
        .otherwise(pl.coalesce(text.str.extract(_PART, 1), text.str.extract(_PERCENT)))
    )
    whole = (
        pl.when(stars)
        .then(text.str.len_chars().cast(pl.String))
        .when(text.str.contains(_PERCENT))
        .then(pl.lit("100"))
        .otherwise(text.str.extract(_PART, 2))
    )
    return part, whole


def _number(text: pl.Expr, thousands: Thousands | None) -> pl.Expr:
    text = text.str.replace_all(_GROUPED, "${1}${2}")
    if thousands == ",":
        grouped = text.str.contains(r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
        bare = pl.when(grouped).then(text.str.replace_all(",", "", literal=True)).otherwise(text)
    elif thousands == ".":
        grouped = text.str.contains(r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$")
        pointed = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        bare = pl.when(grouped).then(pointed)
    else:
        unclear = text.str.contains(r"^[+-]?\d{1,3}(,\d{3})+$")
        pointed = text.str.replace(",", ".", literal=True)
        comma = text.str.contains(DECIMAL_COMMA)
        bare = pl.when(~unclear).then(pl.when(comma).then(pointed).otherwise(text))
    return bare.cast(pl.Float64, strict=False)


_STORED = r"^\s*(?:\[.*\]|\{.*\})\s*$"
_LABELS = ("name", "title", "label", "value", "slug")
"""Fields that hold the name, where a category is an object."""
_FLAT = "|"


def flat_lists(text: pl.Expr, mark: str = _FLAT) -> pl.Expr:
    """Lists stored as text (JSON, Python, PostgreSQL) with a mark between their values."""
    stored = pl.when(text.str.contains(_STORED)).then(text)
    return pl.coalesce(_mapped(stored, lambda each: flat_list(each, mark)), text)


def _mapped(text: pl.Expr, function: Callable[[str], str]) -> pl.Expr:
    return text.map_elements(function, return_dtype=pl.String, skip_nulls=True)


def flat_list(text: str, mark: str) -> str:
    """The texts of a list that is stored as text, joined by `mark`; any other text unchanged."""
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
