"""Content features of items, one set of vectors per modality, aligned to item rows.

A modality comes from a `<modality>_feat.npy` file, from the items' text or from a knowledge graph.

Letters: I items, P items with features, R rows of a feature file, T tokens, F width of a feature
vector, G width that is kept.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from model.network.config import BEHAVIOUR
from training.data.folder import FEATURE_SUFFIX
from training.data.items import ItemTable, read_facts, text_tokens
from training.data.tables import DataError

WIDEST_FEATURES = 128
"""Most dimensions kept of features, and of a bag of tokens: enough to tell a few thousand terms
apart."""
_MIN_ITEMS_PER_TOKEN = 2
"""A token of a single item relates it to no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermWeights:
    """What makes features of tokens; see `model.runtime.text_encoder`."""

    terms: list[str]
    """Sorted."""
    idf_T: NDArray[np.float64]
    axis_TF: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityFeatures:
    """One modality's vectors; the row of an item without one is zero."""

    x_IF: NDArray[np.float32]
    present_I: NDArray[np.bool_]
    made_with: TermWeights | None = None
    """None for features that were read."""


def features_of_tokens(tokens: Sequence[Sequence[str]], seed: int) -> ModalityFeatures | None:
    """TF-IDF over each item's tokens [I], reduced to at most 128 dimensions by truncated SVD.

    An item without a token that some other item shares is missing. None if no token is shared.
    """
    counts: dict[str, int] = {}
    for bag in tokens:
        for token in set(bag):
            counts[token] = counts.get(token, 0) + 1
    vocabulary = sorted(token for token, count in counts.items() if count >= _MIN_ITEMS_PER_TOKEN)
    if not vocabulary:
        return None
    weighting = TfidfVectorizer(analyzer=list, vocabulary=vocabulary, sublinear_tf=True)
    weight_IT = weighting.fit_transform(tokens)
    present_I = np.diff(weight_IT.indptr) > 0
    if len(vocabulary) <= WIDEST_FEATURES:
        axis_TF = np.eye(len(vocabulary))
    else:
        # The number of threads would change the last bits, and with them the data set's digest.
        with threadpool_limits(limits=1):
            _, _, axis_FT = randomized_svd(weight_IT, WIDEST_FEATURES, random_state=seed)
        axis_TF = axis_FT.T
    x_IF = weight_IT @ axis_TF  # not left times singular: an item that comes later has only terms
    return ModalityFeatures(
        x_IF=x_IF.astype(np.float32),
        present_I=present_I,
        made_with=TermWeights(terms=vocabulary, idf_T=weighting.idf_, axis_TF=axis_TF),
    )


def read_feature_file(path: Path, row_I: NDArray[np.int64], num_rows: int) -> ModalityFeatures:
    """Read `<modality>_feat.npy` and align it to the items.

    Args:
        path: a two-dimensional float16, float32 or float64 array. A row of NaN throughout, or of
            zeros throughout, stands for an item without this modality.
        row_I: the file row of each item, -1 for an item that the file does not cover.
        num_rows: rows the file must have.

    Raises:
        DataError: not such an array, another number of rows, or NaN or infinity in a row.
    """
    x_RF = _load(path)
    if len(x_RF) != num_rows:
        raise DataError(
            path,
            f"has {len(x_RF):,} rows, expected {num_rows:,}",
            "a feature file needs one row per line of the item table or, without one, "
            "one per integer item id from 0 to the largest",
        )
    missing_R = np.isnan(x_RF).all(axis=1) | (x_RF == 0).all(axis=1)
    with np.errstate(over="ignore"):
        x_RF = np.where(missing_R[:, None], 0.0, x_RF).astype(np.float32)
    bad_R = ~np.isfinite(x_RF).all(axis=1)
    if bad_R.any():
        raise DataError(
            path,
            f"row {int(np.argmax(bad_R))} (counted from 0) holds NaN, infinity or a number "
            f"too large for float32; {int(bad_R.sum()):,} such rows in all",
            "repair them, or fill the whole row with NaN to mark the item as missing",
        )
    known_I = row_I >= 0
    x_IF = np.zeros((len(row_I), x_RF.shape[1]), dtype=np.float32)
    x_IF[known_I] = x_RF[row_I[known_I]]
    present_I = known_I.copy()
    present_I[known_I] = ~missing_R[row_I[known_I]]
    return ModalityFeatures(x_IF=x_IF, present_I=present_I)


def _load(path: Path) -> NDArray[np.floating]:
    try:
        array: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            path, f"is not a readable .npy array ({error})", "write it with numpy.save"
        ) from error
    check_matrix(path, array)
    return array


def check_matrix(path: Path, array: object) -> None:
    """DataError unless what `numpy.load` has read is a table of numbers [rows, F]."""
    if not isinstance(array, np.ndarray):
        raise DataError(
            path, "is an archive of arrays (.npz), expected one array", "write it with numpy.save"
        )
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind != "f":
        raise DataError(
            path,
            f"is {array.dtype}{list(array.shape)}, expected float16, float32 or float64 [rows, F]",
            "save one vector of numbers per item",
        )


def read_content(
    folder: Path,
    item_ids: Sequence[str],
    table: ItemTable | None,
    wanted: Collection[str] | None,
    seed: int,
) -> dict[str, ModalityFeatures]:
    """Features of every modality wanted (None: of all that are found), sorted by name.

    A feature file takes precedence over features derived for the same name.

    Raises:
        DataError: a source is faulty, or a wanted modality has no source.
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
        sources[name] = partial(read_feature_file, path, *_feature_rows(path, item_ids, table))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardisation:
    """Centre, project on the leading principal components if too wide, scale.

    One scale for all columns: the relative spread of an embedding's columns is information.
    """

    mean_F: NDArray[np.float64]
    axis_FG: NDArray[np.float64] | None
    """None where the features are narrow enough as they are."""
    scale: float

    @classmethod
    def of(cls, features: ModalityFeatures) -> "Standardisation":
        """The standardisation that gives these features zero mean and unit mean variance."""
        present_PF = features.x_IF[features.present_I].astype(np.float64)
        mean_F = present_PF.mean(axis=0)
        kept_PG, axis_FG = present_PF - mean_F, None
        if kept_PG.shape[1] > WIDEST_FEATURES:
            _, ascending_FF = np.linalg.eigh(kept_PG.T @ kept_PG)
            axis_FG = ascending_FF[:, : -WIDEST_FEATURES - 1 : -1]
            kept_PG = kept_PG @ axis_FG
        return cls(mean_F=mean_F, axis_FG=axis_FG, scale=max(float(kept_PG.std()), 1e-12))

    def __call__(self, features: ModalityFeatures) -> NDArray[np.float32]:
        """Standardised features [I, G]; missing rows are zero.

        Raises:
            ValueError: these features have another width.
        """
        if features.x_IF.shape[1] != len(self.mean_F):
            raise ValueError(
                f"features are {features.x_IF.shape[1]} wide, expected {len(self.mean_F)}"
            )
        kept_PG = features.x_IF[features.present_I].astype(np.float64) - self.mean_F
        if self.axis_FG is not None:
            kept_PG = kept_PG @ self.axis_FG
        x_IG = np.zeros((len(features.x_IF), kept_PG.shape[1]), dtype=np.float32)
        x_IG[features.present_I] = kept_PG / self.scale
        return x_IG
