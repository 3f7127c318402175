"""A synthetic data folder whose users' tastes are known, made from a seed (ours).

A user is driven by one modality. Each item has a point on the unit sphere of every modality and
each user a direction. A user chooses an item with probability proportional to
popularity * exp(SHARPNESS * cosine). For a content modality the points are the feature vectors;
for `behaviour` they are written nowhere, so that only others' choices can tell. `planted.tsv` says
which modality drives each user.

Letters: U users, I items, R rows, F width of a feature vector, N choices of one user.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from model.network.config import BEHAVIOUR
from training.data.folder import FEATURE_SUFFIX
from training.data.tables import DataError, Table

PLANTED_FILE = "planted.tsv"
_SEPARATOR = "|"
WIDTH = 6
"""Width of a feature vector."""
SHARPNESS = 12.0
"""Half of a user's choices fall among the 4 % of the items that fit their taste best."""
TAIL = 0.6
"""The r-th most popular item is chosen in proportion to r^-TAIL, tastes apart."""
FEWEST_CHOICES = 5
"""Fewest choices of a user, enough for training, validation and test."""
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_SPAN_SECONDS = 10_000_000

Points = NDArray[np.float32]


def read_planted(
    folder: Path, user_ids: Iterable[str], modalities: Collection[str]
) -> dict[str, tuple[str, ...]] | None:
    """The driving modalities of every user, or None without `planted.tsv`.

    Raises:
        DataError: a column or a user is missing, or a driving modality is not among `modalities`.
    """
    path = folder / PLANTED_FILE
    if not path.is_file():
        return None
    table = Table.read(path)
    column = table.require(["modalities"], "modalities")
    drivers = [tuple(text.split(_SEPARATOR)) for text in table.frame[column]]
    table.check(
        column,
        np.array([not set(names) <= set(modalities) for names in drivers]),
        f"modalities of the artifact ({', '.join(modalities)}) between '{_SEPARATOR}'",
        "train with all modalities that tastes are planted in",
    )
    by_user = dict(zip(table.ids(table.require(["user_id"], "user id")), drivers, strict=True))
    absent = next((user_id for user_id in user_ids if user_id not in by_user), None)
    if absent is not None:
        raise DataError(path, f"has no line for user {absent!r}", "add it, or remove the file")
    return by_user


class Planting(BaseModel):
    """Sizes and shares of a synthetic data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    users: int = Field(default=800, ge=1)
    items: int = Field(default=400, ge=2 * FEWEST_CHOICES)
    modalities: tuple[str, ...] = ("visual", "text")
    """Content modalities; `behaviour` is always there."""
    choices: int = Field(default=25, gt=FEWEST_CHOICES)
    """Mean number per user; long-tailed, from `FEWEST_CHOICES` to half of the items."""
    noise: float = Field(default=0.05, ge=0, le=1)
    """Share of choices that follow popularity alone."""
    mixed: float = Field(default=0.0, ge=0, le=1)
    """Share of users who are driven by two modalities, each choice by either one."""
    cold: float = Field(default=0.04, ge=0, lt=0.5)
    """Share of items that nobody has chosen yet."""
    timestamps: bool = False
    seed: int = Field(default=0, ge=0)

    @field_validator("modalities")
    @classmethod
    def _names_are_usable(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len({BEHAVIOUR, *modalities}) <= len(modalities):
            raise ValueError(f"names must differ from each other and from {BEHAVIOUR!r}")
        if not all(name.isidentifier() for name in modalities):
            raise ValueError("a name may hold letters, digits and underscores only")
        return modalities

    @field_validator("mixed")
    @classmethod
    def _two_can_be_mixed(cls, mixed: float, others: ValidationInfo) -> float:
        if mixed > 0 and not others.data.get("modalities", True):
            raise ValueError("a mixed taste needs a content modality")
        return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedData:
    """Choices and the tastes that made them."""

    drivers: list[tuple[str, ...]]
    """One modality or two of every user [U]."""
    chosen: list[NDArray[np.int64]]
    """Item rows of every user [U], in the order of their choices."""
    points: dict[str, Points]
    """Items in every modality, `behaviour` included, unit rows [I, F]."""


def plant(planting: Planting) -> PlantedData:
    """Draw items, users and their choices; equal plantings give equal data."""
    rng = np.random.default_rng(planting.seed)
    names = (BEHAVIOUR, *planting.modalities)
    points = {name: _directions(rng, planting.items) for name in names}
    log_popularity_I = -TAIL * np.log1p(rng.permutation(planting.items))
    cold_I = rng.permutation(planting.items) < round(planting.cold * planting.items)
    log_popularity_I[cold_I] = -np.inf
    mixed_U = rng.random(planting.users) < planting.mixed
    drivers = [
        tuple(sorted(rng.choice(names, size=1 + mixed, replace=False).tolist()))
        for mixed in mixed_U.astype(int)
    ]
    chosen = []
    for driver in drivers:
        appeals = [
            log_popularity_I + SHARPNESS * (points[name] @ _directions(rng, 1)[0])
            for name in driver
        ]
        num_choices = _num_choices(rng, planting.choices, int((~cold_I).sum()) // 2)
        follows_N = rng.integers(len(driver), size=num_choices)
        follows_N[rng.random(num_choices) < planting.noise] = len(driver)
        chosen.append(_choose(rng, [*appeals, log_popularity_I], follows_N))
    return PlantedData(drivers=drivers, chosen=chosen, points=points)


def _directions(rng: Generator, num_rows: int) -> Points:
    normal_RF = rng.normal(size=(num_rows, WIDTH))
    unit_RF: Points = (normal_RF / np.linalg.norm(normal_RF, axis=1, keepdims=True)).astype("f4")
    return unit_RF


def _num_choices(rng: Generator, mean: int, most: int) -> int:
    """Long-tailed: the fewest, plus a geometric number."""
    return min(FEWEST_CHOICES - 1 + int(rng.geometric(1 / (mean - FEWEST_CHOICES + 1))), most)


def _choose(
    rng: Generator, appeals: Sequence[NDArray[np.float64]], follows_N: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Distinct items [N], the n-th drawn in proportion to the exponential of `appeals[follows[n]]`.

    By Gumbel's trick: the largest of log-weights plus Gumbel noise are a draw without replacement
    (arXiv:1903.06059).
    """
    taken_I = np.zeros(len(appeals[0]), dtype=np.bool_)
    chosen_N = np.empty_like(follows_N)
    for index, appeal_I in enumerate(appeals):
        places = rng.permutation(np.flatnonzero(follows_N == index))
        perturbed_I = np.where(taken_I, -np.inf, appeal_I + rng.gumbel(size=len(appeal_I)))
        chosen_N[places] = np.argsort(-perturbed_I)[: len(places)]
        taken_I[chosen_N[places]] = True
    return chosen_N


def write_planting(planting: Planting, folder: Path) -> PlantedData:
    """Write a data folder: interactions, titles, features, and `planted.tsv`.

    Raises:
        DataError: `folder` exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(folder, "exists and is not empty", "choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    data = plant(planting)
    user_ids = _ids("u", planting.users)
    item_ids = _ids("i", planting.items)
    rng = np.random.default_rng([planting.seed, 1])
    header = "user_id\titem_id" + planting.timestamps * "\ttimestamp"
    lines = [header]
    for user_id, chosen_N in zip(user_ids, data.chosen, strict=True):
        time_N = np.sort(rng.integers(_SPAN_SECONDS, size=len(chosen_N)))
        lines += [
            f"{user_id}\t{item_ids[item]}" + planting.timestamps * f"\t{time}"
            for item, time in zip(chosen_N, time_N, strict=True)
        ]
    (folder / f"{folder.name}.inter").write_text("\n".join(lines) + "\n")
    titles = [f"{item_id}\t{_title(row)}" for row, item_id in enumerate(item_ids)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle", *titles]) + "\n")
    for name in planting.modalities:
        np.save(folder / f"{name}{FEATURE_SUFFIX}", data.points[name])
    planted = [
        f"{user_id}\t{_SEPARATOR.join(names)}"
        for user_id, names in zip(user_ids, data.drivers, strict=True)
    ]
    (folder / PLANTED_FILE).write_text("\n".join(["user_id\tmodalities", *planted]) + "\n")
    return data


def _ids(letter: str, count: int) -> list[str]:
    width = len(str(count - 1))
    return [f"{letter}{number:0{width}d}" for number in range(count)]


def _title(row: int) -> str:
    """A name of one word, different for every item, so that no two titles share a word."""
    syllables = []
    for _ in range(3):
        row, place = divmod(row, len(_SYLLABLES))
        syllables.append(_SYLLABLES[place])
    return "".join(syllables).capitalize() + (str(row) if row else "")
