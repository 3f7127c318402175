"""Random data of any size: choices with long-tailed popularity, and features with a structure.

Cost is measured with them, not quality. Letters: U users, I items, N interactions, F width.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.data.histories import Histories

FEATURE_WIDTH = 64
_DIRECTIONS = 6
"""Dimensions of the items' latent space, as in `magnet synthesise`."""
_NOISE = 0.02
"""Standard deviation in every column, beside about 0.3 of the structure."""
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

    def scaled(self, share: float) -> "Size":
        """All counts multiplied by a share."""
        return Size(
            *(round(share * count) for count in (self.users, self.items, self.interactions))
        )


def random_pairs(size: Size, rng: Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct pairs of users and items [N], in random order; each user has one at least.

    Raises:
        ValueError: there cannot be so few or so many interactions.
    """
    fewest, most = max(2 * size.users, 4 * _HELD_OUT), size.users * size.items // 4
    if not fewest <= size.interactions <= most:
        raise ValueError(f"{size}: interactions must be from {fewest} to {most}")
    user_N = np.arange(size.users)
    pair_N = np.empty(0, dtype=np.int64)
    while len(pair_N) < size.interactions:
        item_N = (size.items * rng.random(len(user_N)) ** _POPULARITY_SKEW).astype(np.int64)
        pair_N = np.unique(np.append(pair_N, user_N * size.items + item_N))
        user_N = rng.integers(size.users, size=size.interactions - len(pair_N))
    user_N, item_N = np.divmod(rng.permutation(pair_N), size.items)
    return user_N, item_N


def random_features(num_items: int, rng: Generator) -> NDArray[np.float32]:
    """Points on a sphere of few dimensions, spread over all columns, with noise [I, F]."""
    point_IP = rng.normal(size=(num_items, _DIRECTIONS)).astype(np.float32)
    point_IP /= np.linalg.norm(point_IP, axis=1, keepdims=True)
    seen_PF = rng.normal(size=(_DIRECTIONS, FEATURE_WIDTH)).astype(np.float32) / 8**0.5
    noise_IF = _NOISE * rng.normal(size=(num_items, FEATURE_WIDTH)).astype(np.float32)
    x_IF: NDArray[np.float32] = point_IP @ seen_PF + noise_IF
    return x_IF


def random_dataset(size: Size, num_modalities: int) -> Dataset:
    """A data set whose interactions are all for training; raises as `random_pairs`."""
    rng = np.random.default_rng(0)
    user_N, item_N = random_pairs(size, rng)
    shape = (size.users, size.items)
    histories = Histories.of(user_N, item_N, rng.random(len(user_N)), shape)
    train = csr_array((np.ones(len(user_N), dtype=np.float32), (user_N, item_N)), shape=shape)
    none = np.empty(0, dtype=np.int64)
    nothing = csr_array((np.empty(0, dtype=np.float32), (none, none)), shape=shape)
    present_I = np.ones(size.items, dtype=np.bool_)
    return Dataset(
        name="random",
        user_ids=[f"u{user:09d}" for user in range(size.users)],
        item_ids=[f"i{item:09d}" for item in range(size.items)],
        train=train,
        valid=nothing,
        test=nothing,
        train_histories=histories,
        histories=histories,
        seen=train,
        features={
            f"content{index}": ModalityFeatures(
                x_IF=random_features(size.items, rng), present_I=present_I
            )
            for index in range(num_modalities)
        },
        item_metadata=[{} for _ in range(size.items)],
        split="time",
        sha256=str(size),
    )


def write_random_data(size: Size, num_modalities: int, folder: Path) -> None:
    """Write a folder of exactly this size into an empty or new one; raises as `random_pairs`."""
    rng = np.random.default_rng(0)
    user_N, item_N = random_pairs(size, rng)
    part_N = np.zeros(size.interactions, dtype=np.int64)
    part_N[:_HELD_OUT], part_N[_HELD_OUT : 2 * _HELD_OUT] = 1, 2
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "random.inter").open("w") as file:
        file.write("user_id\titem_id\tx_label\n")
        columns = zip(user_N.tolist(), item_N.tolist(), part_N.tolist(), strict=True)
        file.writelines(f"u{user:09d}\ti{item:09d}\t{part}\n" for user, item, part in columns)
    with (folder / "items.tsv").open("w") as file:
        file.write("item_id\n")
        file.writelines(f"i{item:09d}\n" for item in range(size.items))
    for index in range(num_modalities):
        np.save(folder / f"content{index}_feat.npy", random_features(size.items, rng))
