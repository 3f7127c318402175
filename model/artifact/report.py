"""What a model has learnt, as figures: the file `report.json` of an artifact.

The service hands it out as it is, the page and `magnet report` draw it. Models that were published
while their training went on have none.

Letters: Q groups, K experts, S items drawn.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT = "report.json"
MOST_BYTES = 262_144
"""Largest file; fewer items are drawn until it fits."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ExpertMap(_Frozen):
    """Mean routing weight of every expert over the places of some lists, by group."""

    by: Literal["history", "popularity", "category"]
    groups: list[str]
    places: Annotated[list[int], Field(description="Places of lists in each group")]
    weight: Annotated[
        list[list[float]],
        Field(description="By group, of each expert; zeros for a group without a place"),
    ]
    """[Q, K]"""


class Peak(_Frozen):
    """Where an expert weighs most in one map."""

    group: str
    share: Annotated[float, Field(description="In units of an even share: 1 over all experts")]


class ExpertPlace(_Frozen):
    """Where one expert weighs most; shares are in units of an even share, 1 / K."""

    expert: str
    leads: Annotated[float, Field(description="Share of the places where it weighs most")]
    share: Annotated[float, Field(description="Over all places")]
    most: Annotated[list[Peak], Field(description="In each of `maps`")]
    idle: Annotated[bool, Field(description="Its share stays below a tenth in every group")]


class Tail(_Frozen):
    """What lists show of the long tail, by tenths of the catalogue, most popular first."""

    interactions: Annotated[list[float], Field(description="Share of those in training")]
    places: Annotated[list[float], Field(description="Share of the places of lists")]
    covered: Annotated[float, Field(description="Share of the catalogue in at least one list")]
    gini: Annotated[
        float,
        Field(
            description="Of the items' numbers of places: 0 if all are shown equally often, near 1 "
            "if few are"
        ),
    ]


class DrawnItem(_Frozen):
    """An item of the maps of items."""

    item_id: str
    title: str
    category: Annotated[int | None, Field(description="Its first one's place in `categories`")]


class ItemMap(_Frozen):
    """Items in the plane that keeps most of their variance, by one modality."""

    modality: str
    variance: Annotated[float, Field(description="Share of the variance that the plane keeps")]
    x: Annotated[list[float], Field(description="Of each of `items`, from -1 to 1")]
    y: list[float]


class ModelReport(_Frozen):
    """Which experts serve whom, what lists show of the long tail, and where items lie."""

    users: Annotated[int, Field(description="Whose lists these figures are of, drawn at random")]
    length: Annotated[int, Field(description="Places of each list")]
    experts: list[ExpertPlace]
    maps: list[ExpertMap]
    tail: Tail
    categories: Annotated[
        list[str], Field(description="The commonest, then `others` if there are any")
    ]
    items: Annotated[list[DrawnItem], Field(description="Those that are drawn, at random")]
    item_maps: list[ItemMap]
