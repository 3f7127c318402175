"""A data set ready for training: ids, split positives, seen items, content features, metadata.

Letters: U users, I items, N interactions.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_array

from training.data.features import ModalityFeatures, read_content
from training.data.histories import Histories
from training.data.interactions import (
    TEST,
    TRAIN,
    VALID,
    Split,
    choose_split,
    interaction_file,
    positives,
    read_interactions,
)
from training.data.items import Metadata, read_items
from training.data.mapped import mapped_matrix


class DataConfig(BaseModel):
    """What to read and how to split it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    """Has one `.inter` file and, optionally, an item table, feature files, a knowledge graph."""
    min_rating: float | None = None
    """Ratings from here on are positive; None for 0.8 times the scale's top."""
    split: Literal["auto"] | Split = "auto"
    """`auto`: by label, else by time, else at random, the first that the columns allow."""
    seed: int = 0
    """For the random split and for reducing derived features."""
    modalities: list[str] | None = None
    """Content modalities to use; None for all that are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Rows of users and items are in the UTF-8 byte order of their ids."""

    name: str
    user_ids: list[str]
    item_ids: list[str]
    train: csr_array
    """Positives [U, I], float32 ones; `train`, `valid` and `test` are disjoint."""
    valid: csr_array
    test: csr_array
    train_histories: Histories
    """Each user's training positives in the order of time."""
    histories: Histories
    """Each user's positives of all parts in the order of time."""
    seen: csr_array
    """Every interaction [U, I] of any rating and part, float32 ones."""
    features: dict[str, ModalityFeatures]
    """Content modalities sorted by name; behaviour is not among them."""
    item_metadata: list[Metadata]
    split: Split
    sha256: str
    """Of ids, matrices, orders, features and metadata: equal for equal training input."""
    items_until: datetime | None = None
    """When the metadata were written; what is said of an item later is not among them."""

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        parts = [
            f"{self.name}: {len(self.user_ids):,} users, {len(self.item_ids):,} items, "
            f"{self.train.nnz:,} / {self.valid.nnz:,} / {self.test.nnz:,} positives "
            f"(train / validation / test, split by {self.split})"
        ]
        parts += [
            f"{name} {x.present_I.mean():.0%} of items, {x.x_IF.shape[1]} wide"
            for name, x in self.features.items()
        ]
        return "; ".join(parts)

    def merged(self, *parts: Literal["valid", "test"]) -> "Dataset":
        """The data set with these parts in the training part; they hold nothing themselves."""
        nothing = csr_array(self.train.shape, dtype=self.train.dtype)
        moved = {part: getattr(self, part) for part in sorted(parts)}
        valid, test = (nothing if x in moved else getattr(self, x) for x in ("valid", "test"))
        return replace(
            self,
            train=csr_array(sum(moved.values(), self.train)),
            valid=valid,
            test=test,
            train_histories=self.histories.without(csr_array(valid + test)),
            sha256=hashlib.sha256(" ".join([self.sha256, *moved]).encode()).hexdigest(),
        )


def load_dataset(config: DataConfig) -> Dataset:
    """Read, check, split and align a folder; DataError says what is wrong with it and where."""
    path = interaction_file(config.folder)
    interactions = read_interactions(path)
    table = read_items(config.folder)
    item_ids = sorted({*interactions.item_ids, *(table.ids if table else ())})
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    row_V = np.array([row_of[item] for item in interactions.item_ids], dtype=np.int32)
    item_N = row_V[interactions.item_N]
    metadata: list[Metadata] = [{} for _ in item_ids]
    if table:
        for item_id, fields in zip(table.ids, table.metadata, strict=True):
            metadata[row_of[item_id]] = fields
    features = read_content(config.folder, item_ids, table, config.modalities, config.seed)

    shape = (len(interactions.user_ids), len(item_ids))
    split = choose_split(config.split, interactions)
    kept_N, part_N = positives(interactions, config.min_rating, split, config.seed)
    train, valid, test, seen = (
        mapped_matrix(_matrix(interactions.user_N[rows], item_N[rows], shape), config.folder)
        for rows in (*(kept_N[part_N == part] for part in (TRAIN, VALID, TEST)), slice(None))
    )
    train_histories, histories = (
        Histories.of(
            interactions.user_N[rows],
            item_N[rows],
            None if interactions.timestamp_N is None else interactions.timestamp_N[rows],
            shape,
        ).mapped(config.folder)
        for rows in (kept_N[part_N == TRAIN], kept_N)
    )
    return Dataset(
        name=path.stem,
        user_ids=interactions.user_ids,
        item_ids=item_ids,
        train=train,
        valid=valid,
        test=test,
        train_histories=train_histories,
        histories=histories,
        seen=seen,
        features=features,
        item_metadata=metadata,
        split=split,
        sha256=_digest(
            [interactions.user_ids, item_ids, metadata, list(features)],
            [train, valid, test, seen],
            histories,
            features,
        ),
        items_until=datetime.fromtimestamp(table.path.stat().st_mtime if table else 0, UTC),
    )


def _matrix(
    user_N: NDArray[np.int32], item_N: NDArray[np.int32], shape: tuple[int, int]
) -> csr_array:
    matrix = csr_array((np.ones(len(user_N), dtype=np.float32), (user_N, item_N)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _digest(
    texts: Sequence[object],
    matrices: Sequence[csr_array],
    histories: Histories,
    features: dict[str, ModalityFeatures],
) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for matrix in matrices:
        digest.update(matrix.indptr.astype("<i8").tobytes())
        digest.update(matrix.indices.astype("<i8").tobytes())
    digest.update(histories.item_P.astype("<i8").tobytes())
    for feature in features.values():
        digest.update(np.packbits(feature.present_I).tobytes())
        digest.update(np.ascontiguousarray(feature.x_IF, dtype="<f4").tobytes())
    return digest.hexdigest()
