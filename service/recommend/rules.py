"""Rules on one catalogue: filters and boosts as arrays, pins as rows, what does not fit as words.

Besides what their metadata call `attributes` (and `year`), items have `title`, `item_id`,
`popularity`, and `category` or `categories`: one of these is equal to a value if any of the item's
categories is.

Letters: I items.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.runtime.top_k import Rows
from service.recommend.adjustments import ItemPoints
from service.retrieval.query import Eligible, Floats, Ranked
from service.schemas.errors import FieldFault, InvalidRequest
from service.schemas.rules import ORDERED, Filter, MaxPer, Pin, Rules, Scalar
from service.schemas.warned import Warned
from service.serving.attributes import (
    TITLE,
    Attributes,
    Column,
    Kind,
    Mask,
    attributes_of,
    kind_of,
)
from service.serving.catalogue import Catalogue

CATEGORY = ("category", "categories")
ITEM_ID, POPULARITY = "item_id", "popularity"
_TEXTS = (*CATEGORY, ITEM_ID, TITLE)
"""Attributes that are equal to texts or not, and have no order."""
NO_ROWS: Rows = np.empty(0, dtype=np.intp)
_MORE = 50
"""Least items that are looked for when too many of the first had the same value."""


def matching(items: Catalogue, condition: Filter) -> Mask:
    """The items that meet a condition [I]; values of another kind are equal to none, in no order.

    An item without the attribute meets `!=`, `not_in` and nothing else.
    """
    name, values = condition.attribute, condition.values
    if condition.op == "exists":
        mask_I = _present(items, name)
        return ~mask_I if condition.value is False else mask_I
    if condition.op in ORDERED:
        return _attributes(items, name).ordered(name, condition.op, values[0], len(items))
    mask_I = _equal(items, name, values)
    return ~mask_I if condition.op in ("!=", "not_in") else mask_I


def _attributes(items: Catalogue, name: str) -> Attributes:
    """Where the column of an attribute is, if it has one."""
    if name == POPULARITY:
        column = Column(kind="number", rows_N=None, values_N=np.asarray(items.popularity_I))
        return Attributes({(name, "number"): column})
    return items.attributes


def _equal(items: Catalogue, name: str, values: Sequence[Scalar]) -> Mask:
    if name in CATEGORY:
        return _mask(items, items.rows_in_any(_texts(values)))
    if name == ITEM_ID:
        return _mask(items, items.rows(_texts(values))[0])
    return _attributes(items, name).equal_to_any(name, values, len(items))


def _present(items: Catalogue, name: str) -> Mask:
    if name in CATEGORY:
        return _mask(items, items.rows_in_any(items.rows_of_category))
    if name == ITEM_ID:
        return np.ones(len(items), dtype=np.bool_)
    return _attributes(items, name).present(name, len(items))


def _texts(values: Iterable[Scalar]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _mask(items: Catalogue, rows: Rows) -> Mask:
    mask_I = np.zeros(len(items), dtype=np.bool_)
    mask_I[rows] = True
    return mask_I


def meeting_all(items: Catalogue, conditions: Sequence[Filter]) -> Mask:
    """The items that meet all of some conditions, at least one [I]."""
    mask_I = matching(items, conditions[0])
    for condition in conditions[1:]:
        mask_I &= matching(items, condition)
    return mask_I


def kinds(items: Catalogue, name: str) -> list[Kind]:
    """The kinds of an attribute's values; none if no item has it."""
    if name in _TEXTS:
        return ["text"]
    return _attributes(items, name).kinds(name)


def fault(items: Catalogue, condition: Filter) -> str | None:
    """Why no item can meet a condition: its value is of another kind, or there is no order."""
    name = condition.attribute
    if condition.op in ORDERED and name in _TEXTS:
        return f"{name} has no order; use ==, !=, in, not_in or exists"
    known = kinds(items, name)
    for value in condition.values:
        kind = kind_of(value)
        if known and kind not in known:
            return f"{name} is a {' or a '.join(known)} here, {value!r} is a {kind}"
    return None


def _conditions(rules: Rules) -> Iterator[tuple[str, Filter]]:
    """Every condition and its place in a request."""
    for number, condition in enumerate(rules.filters):
        yield f"filters.{number}", condition
    for number, boost in enumerate(rules.boosts):
        for place, condition in enumerate(boost.filters):
            yield f"boosts.{number}.filters.{place}", condition


def check_rules(items: Catalogue, rules: Rules, place: str = "") -> None:
    """InvalidRequest if values of conditions are of other kinds than the attributes of all items.

    Args:
        items: the catalogue.
        rules: to be checked.
        place: what the names of their fields begin with.
    """
    faults = tuple(
        FieldFault(field=f"{place}{name}.value", message=message)
        for name, condition in _conditions(rules)
        if (message := fault(items, condition)) is not None
    )
    if faults:
        raise InvalidRequest("; ".join(f"{each.field}: {each.message}" for each in faults), faults)


def warnings_of(items: Catalogue, rules: Rules) -> list[Warned]:
    """What the rules name that no item has."""
    conditions = [condition for _, condition in _conditions(rules)]
    names = [condition.attribute for condition in conditions]
    names += [] if rules.max_per is None else [rules.max_per.attribute]
    found = [
        Warned("unknown_attribute", f"no item has the attribute {name!r}")
        for name in names
        if not kinds(items, name)
    ]
    for condition in conditions:
        if condition.attribute in CATEGORY:
            found += of_categories(items, _texts(condition.values))
    return found


def of_categories(items: Catalogue, names: Iterable[str]) -> list[Warned]:
    """Warnings of categories that no item is in."""
    known = items.rows_of_category
    return [
        Warned("unknown_category", f"no item is in category {name!r}")
        for name in names
        if name not in known
    ]


def unknown_pins(items: Catalogue, rules: Rules) -> list[str]:
    """Pinned ids that the catalogue does not have."""
    return items.rows([pin.item_id for pin in rules.pins])[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedItem:
    """An item and the rank that it is to stand at, from 1."""

    row: int
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRules:
    """What rules make of one catalogue."""

    within_I: Mask | None = None
    """Which items meet the filters; None if there are none."""
    boosts: Sequence[ItemPoints] = ()
    pins: Sequence[PinnedItem] = ()
    """By rank."""
    limits: Sequence[MaxPer] = ()
    missing_ids: Sequence[str] = ()
    unavailable_ids: Sequence[str] = ()
    warnings: Sequence[Warned] = ()


NOTHING = AppliedRules()


def apply_rules(
    items: Catalogue,
    own: Rules,
    default: Rules,
    *,
    hidden_rows: Rows,
    excluded_rows: Rows = NO_ROWS,
) -> AppliedRules:
    """Join a request's own rules with the default ones.

    Args:
        items: the catalogue.
        own: the request's; they pass `check_rules`.
        default: those of the namespace, which may not fit this catalogue: there is a warning then.
        hidden_rows: items that nobody may be shown.
        excluded_rows: items that the request excludes by name; no pin brings them back.
    """
    if own.is_empty and default.is_empty:
        return NOTHING
    filters = [*default.filters, *own.filters]
    boosts = [*default.boosts, *own.boosts]
    pins, missing, unavailable = _pinned(
        items, [*own.pins, *default.pins], hidden_rows, excluded_rows
    )
    misfits = [fault(items, condition) for _, condition in _conditions(default)]
    warnings = [
        Warned("rule_does_not_fit", f"a default rule does not fit: {each}")
        for each in misfits
        if each is not None
    ]
    for rules in (default, own):
        warnings += warnings_of(items, rules)
    return AppliedRules(
        within_I=meeting_all(items, filters) if filters else None,
        boosts=[
            ItemPoints(
                "boost",
                boost.title,
                meeting_all(items, boost.filters) * np.float32(boost.points),
            )
            for boost in boosts
        ],
        pins=pins,
        limits=[rules.max_per for rules in (default, own) if rules.max_per is not None],
        missing_ids=missing,
        unavailable_ids=unavailable,
        warnings=warnings,
    )


def _pinned(
    items: Catalogue, pins: Sequence[Pin], hidden_rows: Rows, excluded_rows: Rows
) -> tuple[list[PinnedItem], list[str], list[str]]:
    """What can be pinned by rank, unknown ids, and hidden ones.

    Of two pins of one item the first counts; of two of one rank the second gets the next free one.
    """
    by_rank: dict[int, int] = {}
    missing, unavailable = [], []
    for pin in pins:
        row = items.ids.row(pin.item_id)
        if row is None:
            missing.append(pin.item_id)
        elif row in hidden_rows:
            unavailable.append(pin.item_id)
        elif row not in excluded_rows and row not in by_rank.values():
            rank = pin.rank
            while rank in by_rank:
                rank += 1
            by_rank[rank] = row
    found = [PinnedItem(row=row, rank=rank) for rank, row in sorted(by_rank.items())]
    return found, missing, unavailable


def with_pins(ranked: Ranked, pins: Sequence[PinnedItem], scores: Floats, count: int) -> Ranked:
    """The first `count` of a list with some items put into it.

    Args:
        ranked: the others, in their order.
        pins: by rank; behind the end of a list that is too short, they end it.
        scores: of the pinned items.
        count: length of the whole list.
    """
    rows, all_scores = ranked.rows[:count].tolist(), ranked.scores[:count].tolist()
    for pin, score in zip(pins, scores.tolist(), strict=True):
        rows.insert(pin.rank - 1, pin.row)
        all_scores.insert(pin.rank - 1, score)
    return Ranked(
        np.array(rows[:count], dtype=np.intp),
        np.array(all_scores[:count], dtype=np.float32),
        warnings=ranked.warnings,
    )


Find = Callable[[Eligible, int], Ranked]
"""The best eligible items, so many or all."""


def limited(
    items: Catalogue, limits: Sequence[MaxPer], find: Find, eligible: Eligible, count: int
) -> Ranked:
    """The best items of which no more than the limits allow have the same value of an attribute.

    An item without the attribute is not limited. An item of several categories counts for each.
    What is left out makes room for others: the list has `count` items while enough are left.
    """
    kept_rows: list[int] = []
    kept_scores: list[float] = []
    warnings: dict[Warned, None] = {}
    counts: Counter[tuple[int, Kind | None, Scalar]] = Counter()
    while len(kept_rows) < count and len(eligible):
        asked = max(count - len(kept_rows), _MORE)
        found = find(eligible, asked)
        warnings |= dict.fromkeys(found.warnings)
        full: list[Mask] = []
        for row, score in zip(found.rows.tolist(), found.scores.tolist(), strict=True):
            values = [
                (number, kind_of(value), value)
                for number, limit in enumerate(limits)
                for value in _values(items, row, limit.attribute)
            ]
            if any(counts[each] >= limits[each[0]].count for each in values):
                continue
            kept_rows.append(row)
            kept_scores.append(score)
            counts.update(values)
            full += [
                _equal(items, limits[number].attribute, [value])
                for number, kind, value in values
                if counts[number, kind, value] == limits[number].count
            ]
        if len(found.rows) < asked:
            break
        gone = [found.rows, *map(np.flatnonzero, full)]
        eligible = eligible.without(np.concatenate(gone))
    return Ranked(
        np.array(kept_rows[:count], dtype=np.intp),
        np.array(kept_scores[:count], dtype=np.float32),
        warnings=tuple(warnings),
    )


def _values(items: Catalogue, row: int, name: str) -> list[Scalar]:
    """The values that one item has of an attribute."""
    if name == ITEM_ID:
        return [items.ids[row]]
    if name == POPULARITY:
        return [int(items.popularity_I[row])]
    record = items.record(row)
    if name in CATEGORY:
        return list(dict.fromkeys(record.get("categories", [])))
    value: Any = attributes_of(record).get(name)
    return [] if kind_of(value) is None else [value]
