"""The items of one model version: ids, metadata, popularity, and vectors.

Letters: I items, V views, M modalities, D dimension.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from model.artifact.files import ArtifactError
from model.artifact.tables import IdTable, StringTable
from service.ops.process import with_pauses

KEPT_LABELS = 16_384
"""About 200 bytes each: 3 MB in every worker, however large the catalogue."""
_NO_ROWS: NDArray[np.intp] = np.empty(0, dtype=np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every item; a row means the same item in each array."""

    ids: IdTable
    metadata: StringTable
    popularity_I: NDArray[np.int64]
    popular_order_I: NDArray[np.int32]
    """Rows, most popular first; of equals, the lower row first."""
    bias_I: NDArray[np.float32]
    embeddings_IVMD: NDArray[np.float32]
    foldin_IVMD: NDArray[np.float32]
    rows_of_category: Mapping[str, NDArray[np.intp]]
    label: Callable[[int], tuple[str, str | None]]
    """Id and title (None if unknown) of a row; cached for items shown lately."""

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Build from the tensors of an artifact; ArtifactError if they are not usable."""
        metadata = StringTable(tensors["item_metadata_blob"], tensors["item_metadata_offsets"])
        ids = IdTable(tensors["item_ids_blob"], tensors["item_ids_offsets"])
        return cls(
            ids=ids,
            metadata=metadata,
            popularity_I=tensors["item_popularity"],
            popular_order_I=np.argsort(-tensors["item_popularity"], kind="stable").astype(np.int32),
            bias_I=tensors["item_bias"],
            embeddings_IVMD=tensors["item_embeddings"],
            foldin_IVMD=tensors["item_foldin"],
            rows_of_category=_rows_of_category(metadata),
            label=lru_cache(KEPT_LABELS)(lambda row: (ids[row], _title(metadata, row))),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def title(self, row: int) -> str | None:
        """The title of an item, None if unknown."""
        return _title(self.metadata, row)

    def rows(self, item_ids: Sequence[str]) -> tuple[NDArray[np.intp], list[str]]:
        """Rows of the known ids, each once, in the order of their last mention; and unknown ids."""
        if not item_ids:  # the usual request names none
            return _NO_ROWS, []
        known: dict[int, None] = {}
        missing: dict[str, None] = {}
        for item_id in item_ids:
            row = self.ids.row(item_id)
            if row is None:
                missing[item_id] = None
            else:
                known.pop(row, None)
                known[row] = None
        return np.fromiter(known, dtype=np.intp, count=len(known)), list(missing)

    def rows_in_any(self, categories: Iterable[str]) -> NDArray[np.intp]:
        """Rows of the items that are in at least one of the categories."""
        rows = [self.rows_of_category[name] for name in categories if name in self.rows_of_category]
        return np.unique(np.concatenate(rows)) if rows else _NO_ROWS


def _title(metadata: StringTable, row: int) -> str | None:
    title: str | None = orjson.loads(metadata.raw(row)).get("title")
    return title


def _rows_of_category(metadata: StringTable) -> dict[str, NDArray[np.intp]]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(with_pauses(metadata)):
        try:
            categories = orjson.loads(text).get("categories", [])
        except (ValueError, AttributeError) as error:
            raise ArtifactError(
                f"the metadata of item row {row} is not a JSON object: {error}; export it again"
            ) from error
        for category in categories:
            rows[category].append(row)
    return {category: np.array(rows_C, dtype=np.intp) for category, rows_C in rows.items()}
