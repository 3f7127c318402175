"""Columns of attributes say what the items' metadata say, also after changes."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serving.attributes import Attributes, AttributesBuilder, attributes_of, kind_of
from service.serving.columns import Columns

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
values = st.sampled_from([0, 1, 2.5, -3, True, False, "", "a", "b", "2026-01-01", "2025-12-31"])
records = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["One", "Two"]),
        "year": st.integers(1990, 1992),
        "attributes": st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2),
        "categories": st.just(["a"]),
    },
)


def built(rows: list[dict]) -> Attributes:
    builder = AttributesBuilder()
    for row, record in enumerate(rows):
        builder.add(row, record)
    return Columns.of_arrays(Columns({}, builder.attributes()).arrays()).attributes


def check(attributes: Attributes, rows: list[dict], value: object) -> None:
    """Every question about every attribute is answered as by the records themselves."""
    for name in ("x", "y", "year", "title"):
        held = [attributes_of(record).get(name) for record in rows]
        same = [None if kind_of(each) != kind_of(value) else each for each in held]
        assert attributes.present(name, len(rows)).tolist() == [x is not None for x in held]
        equal = [each is not None and each == value for each in same]
        assert attributes.equal_to_any(name, [value], len(rows)).tolist() == equal
        among = attributes.equal_to_any(name, [value, "a", 1, False], len(rows))
        allowed = {(kind_of(each), each) for each in (value, "a", 1, False)}
        assert among.tolist() == [(kind_of(each), each) in allowed for each in held]
        if not isinstance(value, bool) and name != "title":
            for op, compare in COMPARE.items():
                want = [each is not None and compare(each, value) for each in same]
                assert attributes.ordered(name, op, value, len(rows)).tolist() == want


@given(st.lists(records, min_size=1, max_size=12), values)
def test_every_question_is_answered_as_by_the_records(rows, value) -> None:
    check(built(rows), rows, value)


@given(
    st.lists(records, max_size=8),
    st.lists(st.dictionaries(st.integers(0, 10), records, max_size=4), max_size=3),
    values,
)
def test_changes_and_additions_count(rows, changes, value) -> None:
    attributes = built(rows)
    rows = [*rows, *[{}] * (11 - len(rows))]
    for change in changes:
        before, columns = rows, dict(attributes.columns)
        changed = attributes.changed(change)
        assert dict(attributes.columns) == columns  # the one that requests still use
        check(attributes, before, value)
        rows = [change.get(row, record) for row, record in enumerate(before)]
        attributes = changed
        check(attributes, rows, value)
        names = {(n, kind_of(v)) for record in rows for n, v in attributes_of(record).items()}
        assert set(attributes.columns) == names


def test_what_no_item_has_before_or_after_is_shared() -> None:
    attributes = built([{"attributes": {"price": 1, "brand": "b"}}, {"attributes": {"price": 2}}])
    changed = attributes.changed({1: {"attributes": {"price": 3}}})
    brand = "brand", "text"
    assert changed.columns[brand] is attributes.columns[brand]
    assert changed.ordered("price", ">", 2, 2).tolist() == [False, True]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_what_is_no_value_is_no_attribute(value) -> None:
    assert built([{"attributes": {"x": value}}, {"attributes": "none"}]).columns == {}
