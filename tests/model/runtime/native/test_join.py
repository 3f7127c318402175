"""Rows of text from pieces: what is compiled writes what Python does, and JSON reads it."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.native.join import joined, joined_by_python

NUMBERS = st.one_of(
    st.floats(-100, 100),
    st.floats(-1e8, 1e8, exclude_min=True, exclude_max=True),
    st.floats(-1e-6, 1e-6),
    st.integers(-1_000, 1_000).map(float),
)
TEXTS = st.lists(st.text(max_size=8).map(str.encode), min_size=1, max_size=5)


@settings(deadline=None)
@given(texts=TEXTS, numbers=st.lists(NUMBERS, min_size=1, max_size=6), data=st.data())
def test_rows_are_those_of_python(compiled, texts, numbers, data) -> None:
    codes = st.integers(-len(numbers), len(texts) - 1)
    rows = data.draw(st.lists(st.lists(codes, min_size=3, max_size=3), max_size=4))
    code_CS = np.array(rows, dtype=np.int32).reshape(-1, 3)
    number_CN = np.array([numbers] * len(rows), dtype=np.float64).reshape(-1, len(numbers))
    found, expected = (
        compiled.joined(code_CS, number_CN, texts),
        joined_by_python(code_CS, number_CN, texts),
    )
    assert found is not None
    (text, end_C), (expected_text, expected_C) = found, expected
    assert end_C.tolist() == expected_C.tolist()
    size = int(end_C[-1]) if len(end_C) else 0
    assert bytes(text[:size]) == bytes(expected_text)


@given(NUMBERS)
def test_a_number_is_read_as_the_nearest_of_seven_places(compiled, number) -> None:
    code_11 = np.array([[-1]], dtype=np.int32)
    text, end_1 = compiled.joined(code_11, np.array([[number]]), [b""])
    written = bytes(text[: end_1[0]])
    assert orjson.loads(written) == np.round(number, 7)
    assert len(written.partition(b".")[2]) <= 7
    assert not written.endswith((b".", b"-0"))


@pytest.mark.parametrize("number", [1e8, -3e15, 1e300, np.nan, np.inf])
def test_what_is_too_large_is_written_by_python(number) -> None:
    code_12 = np.array([[0, -1]], dtype=np.int32)
    text, _ = joined(code_12, np.array([[number]]), [b"[1,"])
    one, other = orjson.loads(bytes(text) + b"]")
    assert one == 1
    assert other == (number if np.isfinite(number) else None)
