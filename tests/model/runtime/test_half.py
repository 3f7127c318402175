import numpy as np

from model.runtime.half import HalfRows, blocks, in_32_bits


def test_every_number_of_16_bits_is_the_same_in_32() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    wide = in_32_bits(finite)
    assert wide.dtype == np.float32
    assert (wide == finite.astype(np.float32)).all()
    assert (np.signbit(wide) == np.signbit(finite)).all()


def test_rows_read_as_those_of_an_array() -> None:
    kept = np.random.default_rng(0).normal(size=(20_000, 2, 3)).astype(np.float16)
    rows, expected = HalfRows(kept), kept.astype(np.float32)
    some = np.array([[5, 19_999], [5, 0]])
    assert (rows.take(some) == expected.take(some, axis=0)).all()
    for place in (7, slice(3, 9), slice(None, None, 999), some, (some[0], 1)):
        assert (rows[place] == expected[place]).all()
    assert (np.asarray(rows) == expected).all()
    assert (np.concatenate([*blocks(rows)]) == expected).all()
    assert (len(rows), rows.shape, rows.dtype) == (20_000, (20_000, 2, 3), np.float32)
