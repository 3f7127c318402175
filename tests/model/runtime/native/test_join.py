"""Rows of text from pieces: what is compiled writes what Python does, and JSON reads it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.native.join import Kind, TextRows

NUMBERS = st.one_of(
    st.floats(-100, 100),
    st.floats(-1e8, 1e8, exclude_min=True, exclude_max=True),
    st.floats(-1e-6, 1e-6),
    st.integers(-1_000, 1_000).map(float),
)
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8).map(str.encode)


def rows_of(number: float, before: bytes = b"") -> TextRows:
    """One number behind a text."""
    return TextRows(
        piece_S3=np.array([[Kind.TEXT, 0, 0], [Kind.NUMBER, 0, 0]], dtype=np.int32),
        texts=[before],
        num_common=1,
        own_CO=np.empty((1, 0), dtype=np.int32),
        number_CN=np.array([[number]]),
    )


def written(rows: TextRows, by: Callable[[], tuple[memoryview, Any]]) -> list[bytes]:
    text, end_C = by()
    return [bytes(text[start:end]) for start, end in pairwise([0, *end_C.tolist()])]


@settings(max_examples=60)
@given(data=st.data(), num_rows=st.integers(0, 3), num_common=st.integers(1, 4))
def test_rows_are_those_of_python(compiled, data, num_rows, num_common) -> None:
    per_row, num_own, num_numbers = 2, 3, 4
    size = num_common + per_row * num_rows
    own = st.integers(-1, num_common - 1)
    piece = st.one_of(
        st.tuples(st.just(Kind.TEXT), st.integers(0, num_common - 1), st.just(0)),
        st.tuples(st.just(Kind.OF_ROW), st.integers(0, per_row - 1), st.just(0)),
        st.tuples(st.just(Kind.OWN), st.integers(0, num_own - 1), st.just(0)),
        st.tuples(st.just(Kind.NUMBER), st.integers(0, num_numbers - 1), st.just(0)),
        st.tuples(st.just(Kind.UNLESS), st.integers(0, num_own - 1), st.integers(0, 3)),
    )
    rows = TextRows(
        piece_S3=np.array(data.draw(st.lists(piece, max_size=12)), dtype=np.int32).reshape(-1, 3),
        texts=data.draw(st.lists(TEXT, min_size=size, max_size=size)),
        num_common=num_common,
        own_CO=np.array(
            data.draw(
                st.lists(
                    st.lists(own, min_size=3, max_size=3), min_size=num_rows, max_size=num_rows
                )
            ),
            dtype=np.int32,
        ).reshape(-1, num_own),
        number_CN=np.array(
            data.draw(st.lists(NUMBERS, min_size=4 * num_rows, max_size=4 * num_rows))
        ).reshape(-1, num_numbers),
    )
    assert written(rows, rows.written) == written(rows, rows.written_by_python)


def test_what_a_row_chooses_and_leaves_out(compiled) -> None:
    pieces = [
        (Kind.OWN, 0, 1),
        (Kind.UNLESS, 0, 2),
        (Kind.NUMBER_OF, 1, 1),
        (Kind.TEXT, 0, 0),
        (Kind.OF_ROW, 0, 0),
        (Kind.OF_ROW, 1, 0),
    ]
    rows = TextRows(
        piece_S3=np.array(pieces, dtype=np.int32),
        texts=[b";", b"a", b"b", b"first", b"second", b"1", b"2"],
        num_common=3,
        own_CO=np.array([[1, 0], [-1, 0]], dtype=np.int32),
        number_CN=np.array([[7.0, 8.5], [7.0, 8.5]]),
    )
    for by in (rows.written, rows.written_by_python):
        assert written(rows, by) == [b"b8.5;first1", b"second2"]


@given(NUMBERS)
def test_a_number_is_read_as_the_nearest_of_seven_places(compiled, number) -> None:
    rows = rows_of(number)
    (text,) = written(rows, rows.written)
    assert orjson.loads(text) == np.round(number, 7)
    assert len(text.partition(b".")[2]) <= 7
    assert not text.endswith((b".", b"-0"))


@pytest.mark.parametrize("number", [1e8, -3e15, 1e300, np.nan, np.inf])
def test_what_is_too_large_is_written_by_python(number) -> None:
    rows = rows_of(number, b"[1,")
    (text,) = written(rows, rows.written)
    assert orjson.loads(text + b"]") == [1, number if np.isfinite(number) else None]
