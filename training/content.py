"""The content modalities of a folder: feature files, item text, a knowledge graph.

Knows which source gives which modality; knows nothing about interactions.

Letters: I items, R rows of a feature file.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config import BEHAVIOUR
from training.content_files import FEATURE_SUFFIX
from training.items import ItemTable
from training.knowledge import read_facts
from training.modalities import (
    ModalityFeatures,
    features_of_tokens,
    read_feature_file,
)
from training.tables import DataError
from training.text import text_tokens


def read_content(
    folder: Path,
    item_ids: Sequence[str],
    table: ItemTable | None,
    wanted: Collection[str] | None,
    seed: int,
) -> dict[str, ModalityFeatures]:
    """Features of every modality that is wanted (None: of all that are found), sorted by name.

    A feature file takes precedence over features derived for the same name.

    Raises:
        DataError: a source is faulty, or a wanted modality has none.
    """
    metadata_of = dict(zip(table.ids, table.metadata, strict=True)) if table else {}

    def text() -> ModalityFeatures | None:
        bags = [text_tokens(metadata_of.get(item_id, {})) for item_id in item_ids]
        return features_of_tokens(bags, seed)

    def knowledge() -> ModalityFeatures | None:
        facts = read_facts(folder, item_ids)
        return features_of_tokens(facts, seed) if facts else None

    sources: dict[str, Callable[[], ModalityFeatures | None]] = {
        "text": text,
        "knowledge": knowledge,
    }
    for path in sorted(folder.glob(f"*{FEATURE_SUFFIX}")):
        name = path.name.removesuffix(FEATURE_SUFFIX)
        if name == BEHAVIOUR:
            raise DataError(path, "bears the name of the built-in modality", "rename the file")
        sources[name] = partial(_read_aligned, path, item_ids, table)
    names = sorted(sources if wanted is None else {*wanted} - {BEHAVIOUR})
    found: dict[str, ModalityFeatures] = {}
    for name in names:
        features = sources[name]() if name in sources else None
        if features is not None:
            found[name] = features
        elif wanted is not None:
            raise DataError(
                folder,
                f"has nothing to make the modality {name!r} of",
                f"it can come from {name}{FEATURE_SUFFIX}, text from an item table, "
                "knowledge from .kg and .link files",
            )
    return found


def _read_aligned(path: Path, item_ids: Sequence[str], table: ItemTable | None) -> ModalityFeatures:
    row_I, num_rows = _feature_rows(path, item_ids, table)
    return read_feature_file(path, row_I, num_rows)


def _feature_rows(
    path: Path, item_ids: Sequence[str], table: ItemTable | None
) -> tuple[NDArray[np.int64], int]:
    """The row of each item in a feature file (-1: not covered) and the rows it must have."""
    if table is not None:
        line_of = {item_id: line for line, item_id in enumerate(table.ids)}
        return np.array([line_of.get(item_id, -1) for item_id in item_ids]), len(table.ids)
    stray = next((item_id for item_id in item_ids if not item_id.isdecimal()), None)
    if stray is not None:
        raise DataError(
            path,
            f"cannot be matched to items: {stray!r} is not a row number",
            "add items.tsv with one line per row of the feature file",
        )
    row_I = np.array([int(item_id) for item_id in item_ids])
    return row_I, int(row_I.max()) + 1
