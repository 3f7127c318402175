"""The mapping, which says what the columns of the given files mean: as a model and as TOML."""

import json
import tomllib
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from training.data.tables import DataError
from training.ingest.formats import DEFAULT_ENCODING
from training.ingest.times import DateOrder, is_format
from training.ingest.values import Style, Thousands

Repeats = Literal["latest", "largest", "sum"]
MAX_REJECTED = 0.1
"""With a larger share of bad rows, the mapping is probably wrong."""


class TableMapping(BaseModel):
    """One table, in one file or in several with the same columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: list[str] = Field(min_length=1)
    """Names without folders; `*` and `?` stand for any part."""
    separator: str | None = Field(default=None, min_length=1, max_length=4)
    """Between fields; None to find it by the file."""
    quoted: bool | None = None
    """Whether fields may stand in double quotes; None: yes, unless tabs separate them."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns of a file that has no header, or another one."""
    header: bool | None = None
    """Whether the first line of a file is a header though `columns` are given; None: if it holds
    one of these names in its place."""
    unused: list[str] = []
    """Columns that look as if they were meant and are left out."""


class InteractionMapping(TableMapping):
    """Who interacted with what."""

    user: str
    item: str
    rating: str | None = None
    """A column of numbers; without it and without `event`, every row is a like."""
    rating_out_of: float | None = Field(default=None, gt=0)
    """The best rating, where ratings are written as `4/5` or `80%` (out of 100)."""
    thousands: Thousands | None = None
    """The mark between thousands in ratings: with a comma `1,000` is a thousand, with a point one.
    """
    event: str | None = None
    """A column that names what happened, each worth `weights`."""
    weights: dict[str, float] = {}
    """Points per type of event; rows of other types are rejected."""
    min_rating: float | None = None
    """Ratings, or sums of points, from which on a row is a like; others count as seen. None for 0.8
    times the scale's top, which `fit` finds, or for the least positive weight."""
    timestamp: str | None = None
    timestamp_format: str | None = None
    """`s`, `ms`, `us`, `ns`, `spreadsheet` or a format of strptime; None to find it value by
    value."""
    dates: DateOrder | None = None
    """What comes first in 03/04/2024 and 03.04.24."""
    label: str | None = None
    """A column of 0 (training), 1 (validation), 2 (test)."""
    repeats: Repeats | None = None
    """What remains of several rows of one user and item; None for the sum of events' weights, or
    else the latest row."""
    min_per_user: int = Field(default=1, ge=1)
    min_per_item: int = Field(default=1, ge=1)
    """Users and items with fewer rows are left out, until none is left that has fewer."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.event is not None and self.rating is not None:
            raise ValueError("give event or rating, not both")
        if (self.event is None) != (not self.weights):
            raise ValueError(
                "event and weights belong together: weights = { purchase = 5, view = 1 }"
            )
        if self.weights and max(self.weights.values()) <= 0:
            raise ValueError("at least one of weights must be above 0, or nothing is a like")
        if self.timestamp_format is not None and not is_format(self.timestamp_format):
            raise ValueError(f"timestamp_format {self.timestamp_format!r} is no format of strptime")
        if self.min_rating is not None and self.rating is None and self.event is None:
            raise ValueError("min_rating needs rating or event")
        return self

    @property
    def style(self) -> Style:
        """How ratings are written."""
        return Style(thousands=self.thousands, out_of=self.rating_out_of)

    @property
    def named(self) -> list[str]:
        """All columns that are named, each once."""
        names = (self.user, self.item, self.rating, self.event, self.timestamp, self.label)
        return list(dict.fromkeys(name for name in names if name is not None))

    @property
    def merging(self) -> Repeats:
        """`repeats`, or its default."""
        return self.repeats or ("sum" if self.event is not None else "latest")

    @property
    def threshold(self) -> float | None:
        """From which value on a row is a like; None to leave it to `fit`."""
        if self.min_rating is None and self.weights:
            return min(weight for weight in self.weights.values() if weight > 0)
        return self.min_rating


class ItemMapping(TableMapping):
    """What is known about items."""

    id: str
    public_id: str | None = None
    """A column of ids to use from here on; `id` is then only what the given files use."""
    title: str | None = None
    year: str | None = None
    categories: str | None = None
    categories_separator: str = Field(default="|", min_length=1)
    text: list[str] = []
    """Columns whose words describe the item, the most important first."""
    attributes: list[str] = []
    """Further columns to keep, for filters."""
    picture: str | None = None
    """A column of web addresses, or of files, relative to the table's folder."""
    picture_folder: str | None = None
    """A folder beside the table with one picture per item, named after its id."""
    available: str | None = None
    """A column that says whether the item may be shown; `items` lists the words for no."""
    feature_rows: Literal["line", "id"] = "line"
    """Which row of a `*_feat.npy` is an item's: the number of its line, or its id."""

    @property
    def named(self) -> list[str]:
        """All columns that are named, each once."""
        single = (
            *(self.id, self.public_id, self.title, self.year),
            *(self.categories, self.picture, self.available),
        )
        return list(
            dict.fromkeys(
                name for name in [*single, *self.text, *self.attributes] if name is not None
            )
        )


class UserMapping(TableMapping):
    """Other ids for users; nothing else about users is used."""

    id: str
    public_id: str


class Mapping(BaseModel):
    """All tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: str = DEFAULT_ENCODING
    max_rejected: float = Field(default=MAX_REJECTED, ge=0, le=1)
    """Share of the interactions, or of the items, beyond which nothing is written."""
    ignore: list[str] = []
    """Names of files that are given but not read."""
    normalise_ids: bool = False
    """Whether ids are brought into Unicode's form NFC, so that one has a single spelling."""
    interactions: InteractionMapping
    items: ItemMapping | None = None
    users: UserMapping | None = None


def read_mapping(path: Path) -> Mapping:
    """Read a mapping; DataError says which key is wrong and what it should be."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check its path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(path, f"is not TOML ({error})", "correct it") from error
    try:
        return Mapping.model_validate(values)
    except ValidationError as error:
        raise DataError(path, *_fault_and_remedy(error.errors(include_url=False)[0])) from error


def _fault_and_remedy(fault: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a mapping, and what to do."""
    *outer, key = map(str, fault["loc"]) if fault["loc"] else ("the mapping",)
    table = f"[{outer[0]}]" if outer else "the top"
    if fault["type"] == "missing" and not outer:
        return f"has no table [{key}]", "add it; docs/own-data.md shows a whole mapping"
    if fault["type"] == "missing":
        value = '["NAME.csv"]' if key == "files" else '"NAME OF THE COLUMN"'
        return f"{table} does not say {key}", f"add a line {key} = {value} below {table}"
    if fault["type"] == "extra_forbidden":
        tables: Dict[str, type[BaseModel]] = {
            "interactions": InteractionMapping,
            "items": ItemMapping,
            "users": UserMapping,
        }
        model = tables.get(outer[0] if outer else "", Mapping).model_fields
        near = get_close_matches(key, model, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"{table} knows no {key}", f"{meant}docs/own-data.md lists what it may say"
    return f"{'.'.join([*outer, key])}: {fault['msg']}", "docs/own-data.md lists what it may say"


def mapping_text(values: Dict[str, object], open_lines: Sequence[tuple[str, str]] = ()) -> str:
    """TOML of top-level values and tables.

    Args:
        values: strings, numbers, lists and dicts; dicts become tables, dicts in them inline tables.
        open_lines: table and key = value of lines to choose from, which stay comments.
    """
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = key_lines({name: value for name, value in values.items() if name not in tables})
    for table, content in tables.items():
        lines += ["", f"[{table}]", *key_lines(content)]
        lines += [f"# {x}" for name, text in open_lines if name == table for x in text.split("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def key_lines(values: Dict[str, object]) -> list[str]:
    """A line of TOML for each key."""
    return [f"{name} = {_value(value)}" for name, value in values.items()]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: object) -> str:
    text = str(name)
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else _value(text)
