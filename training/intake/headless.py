"""Names for the columns of a table without a header, to be confirmed by whoever knows them.

Knows the order in which such tables usually have their columns; knows nothing about other tables.
"""

from collections.abc import Iterator

from training.intake.column_names import NAMES, named
from training.intake.sampled import Sampled

_CHOICES, _ITEMS = ("user", "item"), ("item", "title")
"""What usually comes first in a table of interactions, and in one of items."""
_MOST_RATINGS = 20
"""Distinct values; a column of more numbers is rather a price."""


def is_headless(table: Sampled) -> bool:
    """Whether the line that should be a header looks like a row.

    No name in it is known, and one is a number or a value of its own column.
    """
    if any(named(role, table.names) for role in NAMES):
        return False
    return any(_is_number(name) or name in table.present(name) for name in table.names)


def with_names(table: Sampled) -> Sampled:
    """The same rows under the names that the columns probably deserve."""
    names = list(_names(table))
    rows = table.rows.rename(dict(zip(table.names, names, strict=True)))
    return Sampled(path=table.path, names=names, rows=rows, headed=False)


def _names(table: Sampled) -> Iterator[str]:
    first = table.present(table.names[0])
    usual = iter(_ITEMS if first.is_unique().all() else _CHOICES)
    dated, rest = table.dated(), ["rating", "timestamp"]
    for place, column in enumerate(table.names, 1):
        found = "timestamp" if column in dated else next(usual, None) or _rated(table, column)
        if found in rest:
            rest.remove(found)
        elif found in ("rating", "timestamp", None):
            found = f"column {place}"
        yield found


def _rated(table: Sampled, column: str) -> str | None:
    values = table.present(column)
    few = 1 < values.n_unique() <= _MOST_RATINGS
    return "rating" if few and all(map(_is_number, values.unique())) else None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
