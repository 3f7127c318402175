"""What the metadata of all items say, in columns: made in one pass, and kept as arrays.

Letters: C items of a category.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from model.artifact.files import ArtifactError
from model.artifact.tables import StringTable
from model.runtime.derived import Arrays
from service.ops.process import with_pauses
from service.serving.attributes import (
    KINDS,
    Attributes,
    AttributesBuilder,
    Column,
    Kind,
)

RowsOfCategory = Mapping[str, NDArray[np.int32]]
"""The rows [C] of each category, ascending."""
_ROWS, _VALUES, _TEXTS = "rows", "values", "texts"


@dataclass(frozen=True, slots=True)
class Columns:
    """The categories and attributes of all items."""

    rows_of_category: RowsOfCategory
    attributes: Attributes

    @classmethod
    def of(cls, metadata: StringTable) -> Self:
        """Of items' JSON objects; ArtifactError if one is none."""
        rows: defaultdict[str, list[int]] = defaultdict(list)
        builder = AttributesBuilder()
        for row, text in enumerate(with_pauses(map(metadata.raw, range(len(metadata))))):
            try:
                record = orjson.loads(text)
                categories = record.get("categories", [])
            except (ValueError, AttributeError) as error:
                raise ArtifactError(
                    f"the metadata of item row {row} is not a JSON object: {error}; export it again"
                ) from error
            for category in categories:
                rows[category].append(row)
            builder.add(row, record)
        found = {category: np.array(rows_C, dtype=np.int32) for category, rows_C in rows.items()}
        return cls(found, builder.attributes())

    def arrays(self) -> Arrays:
        """Flat arrays, to be kept; `of_arrays` is the inverse."""
        rows = [*self.rows_of_category.values()]
        columns = self.attributes.columns
        arrays = {
            **_table("categories", self.rows_of_category),
            "category_rows": np.concatenate([np.empty(0, dtype=np.int32), *rows]),
            "category_ends": np.cumsum([0, *map(len, rows)]),
            **_table("attributes", (name for name, _ in columns)),
            "attribute_kinds": np.array([KINDS.index(kind) for _, kind in columns], dtype=np.uint8),
        }
        for place, column in enumerate(columns.values()):
            arrays[f"{_VALUES}{place}"] = column.values_N
            if column.rows_N is not None:
                arrays[f"{_ROWS}{place}"] = column.rows_N
            if column.texts is not None:
                arrays |= _table(f"{_TEXTS}{place}", column.texts)
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `arrays`; nothing is copied."""
        parts = pairwise(arrays["category_ends"].tolist())
        rows_of_category = {
            category: arrays["category_rows"][start:stop]
            for category, (start, stop) in zip(_strings(arrays, "categories"), parts, strict=True)
        }
        kinds = [KINDS[number] for number in arrays["attribute_kinds"].tolist()]
        keys = [*zip(_strings(arrays, "attributes"), kinds, strict=True)]
        columns = {key: _column(arrays, place, key[1]) for place, key in enumerate(keys)}
        return cls(rows_of_category, Attributes(columns))


def _column(arrays: Mapping[str, NDArray[Any]], place: int, kind: Kind) -> Column:
    has_texts = f"{_TEXTS}{place}_blob" in arrays
    return Column(
        kind=kind,
        rows_N=arrays.get(f"{_ROWS}{place}"),
        values_N=arrays[f"{_VALUES}{place}"],
        texts=_strings(arrays, f"{_TEXTS}{place}") if has_texts else None,
    )


def _table(name: str, strings: Iterable[str]) -> Arrays:
    table = StringTable.of(strings)
    return {f"{name}_blob": table.blob, f"{name}_offsets": table.offsets}


def _strings(arrays: Mapping[str, NDArray[Any]], name: str) -> StringTable:
    return StringTable(arrays[f"{name}_blob"], arrays[f"{name}_offsets"])
