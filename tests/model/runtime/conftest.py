"""The compiled functions, watched: the arrays whose addresses they are given must be alive."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from model.runtime.native import kernels as native
from model.runtime.native import reasons
from model.runtime.native.kernels import Kernels, kernels


class Watched:
    """A library that looks, before each call, whether all arrays asked for since are still there.

    Reading freed memory goes well most of the time, so that no result would tell.
    """

    def __init__(self, library: Any, arrays: list["weakref.ref[Any]"]) -> None:
        self._library, self._arrays = library, arrays

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._library, name)

        def watched(*given: Any) -> Any:
            gone = [array for array in self._arrays if array() is None]
            self._arrays.clear()
            assert not (given and gone), (
                f"{name} is given the address of {len(gone)} arrays that are freed"
            )
            return function(*given)

        return watched


@pytest.fixture(scope="session")
def compiled() -> Iterator[Kernels]:
    found = kernels()
    if found is None:
        pytest.skip("not compiled: python -m model.runtime.native.build")
    arrays: list[weakref.ref[Any]] = []
    address = native.address

    def remembered(array: Any) -> int:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        arrays.append(weakref.ref(owner))
        return address(array)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "address", remembered)
        patch.setattr(reasons, "address", remembered)
        patch.setattr(found, "_library", Watched(found._library, arrays))
        yield found
