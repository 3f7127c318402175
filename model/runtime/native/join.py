"""Rows of text put together from pieces, by the compiled functions or by Python.

Letters: C rows, S pieces of a row, N numbers of a row.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.kernels import kernels


def joined(
    code_CS: NDArray[np.int32], number_CN: NDArray[np.float64], texts: Sequence[bytes]
) -> tuple[memoryview, NDArray[np.int64]]:
    """The text of all rows, and where each ends.

    Args:
        code_CS: texts by their places in `texts`; -1 - n is the nth number of the row.
        number_CN: they are written as JSON, to seven decimal places.
        texts: what the codes stand for.
    """
    compiled = kernels()
    found = None if compiled is None else compiled.joined(code_CS, number_CN, texts)
    return joined_by_python(code_CS, number_CN, texts) if found is None else found


def joined_by_python(
    code_CS: NDArray[np.int32], number_CN: NDArray[np.float64], texts: Sequence[bytes]
) -> tuple[memoryview, NDArray[np.int64]]:
    """See `joined`."""
    rows = [
        b"".join(texts[code] if code >= 0 else _json(numbers[-1 - code]) for code in codes)
        for codes, numbers in zip(code_CS.tolist(), number_CN.round(7).tolist(), strict=True)
    ]
    return memoryview(b"".join(rows)), np.array(list(map(len, rows)), dtype=np.int64).cumsum()


def _json(number: float) -> bytes:
    if not math.isfinite(number):
        return b"null"
    text = f"{number:.7f}".rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()
