"""A data folder of any size: who chose what is drawn at random, popularity long-tailed.

For measuring cost, not quality: there is nothing to learn from it (`training.synthetic` plants
tastes, at a cost that grows with users x items). Knows the format of a data folder only. Letters:
U users, I items, N interactions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FEATURE_WIDTH = 64
_POPULARITY_SKEW = 2.5
"""Item rows are I * uniform^skew: the first tenth of them gets 40 % of the choices."""
_HELD_OUT = 500
"""Interactions of the validation part and of the test part: enough to be valid data."""


@dataclass(frozen=True, slots=True)
class Size:
    """Counts of a data set."""

    users: int
    items: int
    interactions: int

    def __str__(self) -> str:
        return f"{self.users}x{self.items}x{self.interactions}"


def write_crowd(size: Size, num_modalities: int, folder: Path) -> None:
    """Write a folder of exactly this size into an empty or new `folder`; features are noise.

    Raises:
        ValueError: there cannot be so few or so many interactions.
    """
    fewest, most = max(2 * size.users, 4 * _HELD_OUT), size.users * size.items // 4
    if not fewest <= size.interactions <= most:
        raise ValueError(f"{size}: interactions must be from {fewest} to {most}")
    rng = np.random.default_rng(0)
    user_N = np.arange(size.users)
    pair_N = np.empty(0, dtype=np.int64)
    while len(pair_N) < size.interactions:
        item_N = (size.items * rng.random(len(user_N)) ** _POPULARITY_SKEW).astype(np.int64)
        pair_N = np.unique(np.append(pair_N, user_N * size.items + item_N))
        user_N = rng.integers(size.users, size=size.interactions - len(pair_N))
    user_N, item_N = np.divmod(rng.permutation(pair_N), size.items)
    part_N = np.zeros(size.interactions, dtype=np.int64)
    part_N[:_HELD_OUT], part_N[_HELD_OUT : 2 * _HELD_OUT] = 1, 2
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "crowd.inter").open("w") as file:
        file.write("user_id\titem_id\tx_label\n")
        columns = zip(user_N.tolist(), item_N.tolist(), part_N.tolist(), strict=True)
        file.writelines(f"u{user:09d}\ti{item:09d}\t{part}\n" for user, item, part in columns)
    with (folder / "items.tsv").open("w") as file:
        file.write("item_id\n")
        file.writelines(f"i{item:09d}\n" for item in range(size.items))
    for index in range(num_modalities):
        features_IF = rng.normal(size=(size.items, FEATURE_WIDTH)).astype(np.float32)
        np.save(folder / f"content{index}_feat.npy", features_IF)
