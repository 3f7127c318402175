"""A mapping of which every change makes a new one, without a copy of what stays."""

from collections.abc import Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_FEWEST = 1_000
_SHARE = 8
"""Changes are laid into a new mapping once they are an eighth of what they lie over."""


class Overlay(Generic[Key, Value]):
    """Immutable; changes cost as much as there are of them, but for a copy now and then."""

    __slots__ = ("_below", "_changes")

    def __init__(self) -> None:
        self._below: Mapping[Key, Value] = {}
        self._changes: Mapping[Key, Value | None] = {}

    def __bool__(self) -> bool:
        return bool(self._below or self._changes)

    def get(self, key: Key) -> Value | None:
        """The value of a key; None if it has none."""
        if key in self._changes:
            return self._changes[key]
        return self._below.get(key)

    def with_changes(self, changes: Mapping[Key, Value | None]) -> "Overlay[Key, Value]":
        """The same but for some keys; None takes a value away."""
        made = Overlay[Key, Value]()
        merged = {**self._changes, **changes}
        if len(merged) <= max(_FEWEST, len(self._below) // _SHARE):
            made._below, made._changes = self._below, merged
        else:
            whole = {**self._below, **merged}
            made._below = {key: value for key, value in whole.items() if value is not None}
        return made
