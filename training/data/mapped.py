"""Large arrays in files without a name, whose pages the system may drop from memory.

Letters: X values.
"""

from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Value = TypeVar("Value", bound=np.generic)

MAPPED_BYTES = 2**26
"""Smaller arrays stay in memory."""


def mapped(x_X: NDArray[Value], folder: Path) -> NDArray[Value]:
    """The same values, a large array in a file that is gone when nobody uses it any more.

    Where a folder cannot be written, or has no room, it stays in memory.
    """
    if x_X.nbytes < MAPPED_BYTES:
        return x_X
    try:
        with TemporaryFile(dir=folder) as file:
            x_X.tofile(file)
            file.flush()
            return np.memmap(file, dtype=x_X.dtype, mode="c", shape=x_X.shape)
    except OSError:
        return x_X


def mapped_matrix(matrix: csr_array, folder: Path) -> csr_array:
    """The same matrix, its entries as `mapped` makes them."""
    data_N, indices_N = (mapped(x, folder) for x in (matrix.data, matrix.indices))
    return csr_array((data_N, indices_N, matrix.indptr), shape=matrix.shape)
