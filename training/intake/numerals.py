"""Numbers as people and programs write them.

Knows decimal points and commas; knows nothing about what is counted.
"""

import polars as pl

MISSING = ("", "na", "n/a", "nan", "none", "null", "nil", "\\n", "-", "?")
"""How absent values are written, in lower case: pandas, SQL dumps, spreadsheets, people."""
_DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+$"


def missing(text: pl.Expr) -> pl.Expr:
    """Whether a stripped string stands for no value."""
    return text.str.to_lowercase().is_in(MISSING)


def numbers(text: pl.Expr) -> pl.Expr:
    """Finite numbers; null for what is none, and for `1,000`, which may mean 1 or 1000."""
    pointed = (
        pl.when(text.str.contains(_THOUSANDS))
        .then(pl.lit(None, dtype=pl.String))
        .when(text.str.contains(_DECIMAL_COMMA))
        .then(text.str.replace(",", ".", literal=True))
        .otherwise(text)
    )
    number = pointed.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)
