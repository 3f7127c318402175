"""Conditions: which items may be in a list, and what leaves out the others where it ends early."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.runtime.top_k import Rows
from service.retrieval.query import Eligible
from service.schemas.responses import Cause
from service.schemas.warned import Warned
from service.serving.attributes import Mask

_WORDS: dict[Cause, str] = {
    "categories": "in none of the categories",
    "filters": "outside the filters",
    "excluded": "excluded by the request",
    "hidden": "hidden",
    "seen": "already seen",
    "max_per": "beyond max_per",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Those of one request."""

    num_items: int
    deleted: Rows
    """They are hidden too."""
    candidates: Rows | None
    """None: every item is one."""
    categories: Rows | None
    """None: of any category."""
    filters: Mask | None
    """None: there are none."""
    excluded: Rows
    hidden: Rows
    seen: Rows
    pinned: Rows
    """They are in the list whatever the others say."""

    def eligible(self) -> Eligible:
        """The items that meet all conditions."""
        return Eligible(
            self.num_items,
            np.concatenate([self.excluded, self.hidden, self.seen, self.pinned]),
            [rows for rows in (self.candidates, self.categories) if rows is not None],
            self.filters,
        )

    def end_of(self, length: int) -> "End":
        """Of a list that ends after `length` items, pinned ones included, for want of more."""
        there = self._all()
        rows = np.setdiff1d(there, self.pinned)
        is_left = np.ones(len(rows), dtype=np.bool_)
        left_out: dict[Cause, int] = {}
        for cause, is_kept in self._kept(rows):
            if count := int(np.count_nonzero(is_left & ~is_kept)):
                left_out[cause] = count
            is_left &= is_kept
        if more := int(np.count_nonzero(is_left)) + len(self.pinned) - length:
            left_out["max_per"] = more
        if self.candidates is not None and not left_out:
            return End(left_out, [])  # whoever names candidates knows how many they are
        where = "in the catalogue" if self.candidates is None else "candidates that are known"
        parts = ", ".join(f"{count:,} {_WORDS[cause]}" for cause, count in left_out.items())
        whole = f"the whole list has {length:,} item{'s' * (length != 1)}"
        words = f"{whole}: of {len(there):,} {where}, {parts or 'none is left out'}"
        return End(left_out, [Warned("short", words)])

    def _all(self) -> Rows:
        rows = np.arange(self.num_items) if self.candidates is None else self.candidates
        return np.setdiff1d(rows, self.deleted)

    def _kept(self, rows: Rows) -> Iterator[tuple[Cause, Mask]]:
        """Which of some rows each condition leaves in."""
        if self.categories is not None:
            yield "categories", np.isin(rows, self.categories)
        if self.filters is not None:
            yield "filters", self.filters[rows]
        yield "excluded", np.isin(rows, self.excluded, invert=True)
        yield "hidden", np.isin(rows, self.hidden, invert=True)
        yield "seen", np.isin(rows, self.seen, invert=True)


class End(NamedTuple):
    """Of a list that is shorter than asked for."""

    left_out: Mapping[Cause, int]
    """How many items by what; an item that several conditions leave out is the first one's."""
    warnings: Sequence[Warned]
