"""Items as they are put while a model is served: what the service writes and training reads.

A record replaces or completes what a model's artifact says of an item. Fields that were never given
are left to the artifact.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from model.registry.records import Identifier, with_message

MAX_CATEGORIES = 100
MAX_ATTRIBUTES = 100
MAX_TEXT = 20_000
MAX_WIDTH = 16_384
"""Numbers of one feature vector: the widest encoders in use have some 4,000."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


def _writable(number: int) -> int | float:
    """A number that JSON libraries write: they refuse whole ones of more than 64 bits."""
    try:
        return number if -(2**63) <= number < 2**64 else float(number)
    except OverflowError:
        raise ValueError("a number is too large") from None


Value = Annotated[
    Text | bool | Annotated[int, AfterValidator(_writable)] | float,
    with_message(
        f"expected a text of at most {MAX_TEXT:,} characters, a finite number or a truth value"
    ),
]
Vector = Annotated[list[float], Field(min_length=1, max_length=MAX_WIDTH)]

METADATA = ("title", "categories", "description", "picture_url", "attributes")
"""The fields that people see, and that filters read."""


class ItemContent(BaseModel):
    """What is known of an item beside its id."""

    model_config = ConfigDict(
        hide_input_in_errors=True, extra="forbid", strict=True, allow_inf_nan=False, frozen=True
    )

    title: Text | None = None
    categories: Annotated[list[Name], Field(max_length=MAX_CATEGORIES)] = []
    description: Text | None = None
    picture_url: Annotated[str, Field(max_length=2_000)] | None = Field(
        None, examples=["https://example.com/242.jpg"]
    )
    attributes: Annotated[dict[Name, Value], Field(max_length=MAX_ATTRIBUTES)] = Field(
        {}, examples=[{"price": 12.5, "brand": "x", "released": "2026-01-01"}]
    )
    features: dict[Name, Vector] = Field(
        {}, description="A vector of each modality that is known, as wide as the model's features"
    )


class ItemRecord(ItemContent):
    """One item in Redis."""

    model_config = ConfigDict(extra="ignore", strict=False)  # a newer release may say more

    item_id: Identifier
    retired: bool = False
    """It was deleted: nobody is shown it, and training leaves its record out."""
    updated_at: datetime

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """A stored record; None if it is not usable."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None

    def dump(self) -> str:
        """How it is stored: the fields that were given."""
        return self.model_dump_json(exclude_unset=True)

    def metadata(self) -> dict[str, object]:
        """What people see and filters read, of the fields that were given; None: taken away."""
        return self.model_dump(include=set(METADATA), exclude_unset=True)

    def over(self, fields: dict[str, object]) -> dict[str, object]:
        """The metadata of an artifact's item with those of this record over them."""
        merged = {**fields, **self.metadata()}
        return {name: value for name, value in merged.items() if value not in (None, [], {})}
