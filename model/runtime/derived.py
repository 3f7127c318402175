"""Arrays that follow from an artifact's: a machine may keep them, so that a restart finds them."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Keep = Callable[[str, Callable[[], Arrays]], Arrays]
"""Gives the arrays of a name: what is kept under it, or else what the function makes."""


def unkept(_name: str, make: Callable[[], Arrays]) -> Arrays:
    """Makes them each time."""
    return make()
