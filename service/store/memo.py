"""Keeping the latest of something that requests make again and again of the same things."""

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


class Memo:
    """The latest that was made of a key; threads may share it and at worst make something twice."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[object, Any] | None = None

    def get(self, key: object, make: Callable[[], Made]) -> Made:
        """What `make` makes of a key that is small, kept until it is asked for with another."""
        kept = self._kept
        if kept is not None and kept[0] == key:
            found: Made = kept[1]
            return found
        made = make()
        self._kept = key, made
        return made
