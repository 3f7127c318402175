"""Rules of a list, as a request and the defaults of a namespace carry them.

Filters say which items may stand in it, boosts raise and lower items, pins give items a rank, and
`max_per` keeps one brand, say, from filling it.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model.registry.records import Identifier, with_message
from service.schemas.bodies import Body, shown

MAX_FILTERS = 20
MAX_BOOSTS = 20
MAX_PINS = 100
MAX_VALUES = 1000
"""Of one filter."""
MAX_POINTS = 100.0
"""Far more than experts add, and so few that sums of float32 stay right to 1e-5."""

Op = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "exists"]
ORDERED: frozenset[Op] = frozenset({"<", "<=", ">", ">="})
LISTED: frozenset[Op] = frozenset({"in", "not_in"})

Text = Annotated[str, Field(max_length=1024)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Scalar = bool | Number | Text
_EXPECTED = with_message(
    "expected a number, a truth value, a text of at most 1,024 characters, or a list of 1 to "
    f"{MAX_VALUES:,} of these"
)
AttributeName = Annotated[str, Field(min_length=1, max_length=128, examples=["price"])]


class Filter(Body):
    """A condition on one attribute of an item."""

    model_config = shown({"attribute": "price", "op": "<=", "value": 20})

    attribute: AttributeName
    op: Op
    value: (
        Annotated[
            Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=MAX_VALUES)], _EXPECTED
        ]
        | None
    ) = Field(
        None,
        description="A list for `in` and `not_in`; for `exists` true (if left out) or false; "
        "otherwise one number, text or truth value",
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        op, value = self.op, self.value
        if op in LISTED:
            if not isinstance(value, list):
                raise ValueError(f"`{op}` needs a list of values")
        elif op == "exists":
            if value is not None and not isinstance(value, bool):
                raise ValueError("`exists` takes true or false")
        elif value is None or isinstance(value, list):
            raise ValueError(f"`{op}` needs one value, a number, text or truth value")
        elif op in ORDERED and isinstance(value, bool):
            raise ValueError(f"`{op}` needs a number or a text, {str(value).lower()} has no order")
        return self

    @property
    def values(self) -> Sequence[Scalar]:
        """What the attribute is compared with; nothing for `exists`."""
        if self.op == "exists" or self.value is None:
            return ()
        return self.value if isinstance(self.value, list) else (self.value,)

    def __str__(self) -> str:
        """Readable, as `price <= 20`."""
        if self.op == "exists":
            return f"{self.attribute} {'is missing' if self.value is False else 'exists'}"
        op = self.op.replace("_", " ")
        return f"{self.attribute} {op} {', '.join(map(_readable, self.values))}"


def _readable(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value


class Boost(Body):
    """Points for the items that meet all of some filters."""

    model_config = shown(
        {"filters": [{"attribute": "brand", "op": "==", "value": "Lucasfilm"}], "points": 0.5}
    )

    filters: Annotated[list[Filter], Field(min_length=1, max_length=MAX_FILTERS)]
    points: float = Field(
        ge=-MAX_POINTS,
        le=MAX_POINTS,
        allow_inf_nan=False,
        description="Added to the score; below zero it lowers",
    )
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="In answers; if left out, the filters in words"
    )

    @property
    def title(self) -> str:
        """What it is called in answers."""
        return self.name or " and ".join(map(str, self.filters))


class Pin(Body):
    """An item that stands at a rank, whatever its score and the filters."""

    model_config = shown({"item_id": "50", "rank": 1})

    item_id: Identifier
    rank: int = Field(ge=1, le=10_000)


class MaxPer(Body):
    """The most items of a list that may have the same value of an attribute."""

    model_config = shown({"attribute": "brand", "count": 2})

    attribute: AttributeName
    count: int = Field(ge=1)


class Rules(Body):
    """How a list is to be made, beside what the model says."""

    model_config = shown(
        {
            "filters": [{"attribute": "year", "op": ">=", "value": 1990}],
            "boosts": [
                {
                    "filters": [{"attribute": "category", "op": "==", "value": "Comedy"}],
                    "points": 0.2,
                    "name": "comedy week",
                }
            ],
            "pins": [{"item_id": "50", "rank": 1}],
            "max_per": {"attribute": "year", "count": 2},
        }
    )

    filters: list[Filter] = Field(
        [], max_length=MAX_FILTERS, description="Only items that meet all of these"
    )
    boosts: list[Boost] = Field(
        [], max_length=MAX_BOOSTS, description="Points for the items that meet some filters"
    )
    pins: list[Pin] = Field([], max_length=MAX_PINS, description="Items that stand at a rank")
    max_per: MaxPer | None = None

    @property
    def is_empty(self) -> bool:
        """Whether they change nothing."""
        return not (self.filters or self.boosts or self.pins or self.max_per)

    @model_validator(mode="after")
    def _distinct_pins(self) -> Self:
        for what in ("item_id", "rank"):
            values = [getattr(pin, what) for pin in self.pins]
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"two pins have the {what} {twice!r}")
        return self


NO_RULES = Rules()
