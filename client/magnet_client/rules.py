"""Rules of a list, as `recommend` and `put_rules` take them."""

from typing import Literal, NotRequired, TypedDict

Scalar = bool | int | float | str


class Filter(TypedDict):
    """A condition on an attribute of an item."""

    attribute: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "exists"]
    value: NotRequired[Scalar | list[Scalar]]
    """A list for `in` and `not_in`; may be left out for `exists`."""


class Boost(TypedDict):
    """Points for the items that meet all of some filters."""

    filters: list[Filter]
    points: float
    name: NotRequired[str]


class Pin(TypedDict):
    """An item that stands at a rank."""

    item_id: str
    rank: int


class MaxPer(TypedDict):
    """The most items of a list with the same value of an attribute."""

    attribute: str
    count: int


class Rules(TypedDict, total=False):
    """What items may stand in a list, and what raises them."""

    filters: list[Filter]
    boosts: list[Boost]
    pins: list[Pin]
    max_per: MaxPer | None
