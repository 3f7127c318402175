"""Features of texts as training makes them where no pretrained encoder has: projected TF-IDF.

Training fits terms, weights and axes (`training.data.features`); they travel in the artifact.

Letters: X items, N terms of items, T terms, F width of the features.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import TEXT_ENCODER_TENSORS
from model.artifact.tables import IdTable
from model.registry.items import ItemRecord

_YEARS = ("year", "release_year")
"""Attributes that hold an item's year, as columns of an item table do."""
_YEAR_DIGITS = 4
_KEPT_TERMS = 16_384
"""Terms whose row is remembered: 3 MB."""
_WORD = re.compile(r"[^\W_]{2,}")


def tokens_of(texts: Iterable[str], year: object, categories: Iterable[str]) -> Iterator[str]:
    """Lower-case words, then `year=`, `decade=` and `category=`."""
    for text in texts:
        yield from _WORD.findall(text.lower())
    if isinstance(year, int):
        yield from (f"year={year}", f"decade={year // 10}")
    yield from (f"category={category.lower()}" for category in categories)


def year_of(record: ItemRecord) -> int | None:
    """The year among the attributes of an item; None without."""
    for name in _YEARS:
        value = record.attributes.get(name)
        text = f"{value:g}" if isinstance(value, float) else str(value).strip()
        if text.isdecimal() and len(text) <= _YEAR_DIGITS:
            return int(text)
    return None


class TextEncoder:
    """Makes the text features of one model version."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Of an artifact that has `TEXT_ENCODER_TENSORS`."""
        terms = IdTable(tensors["text_terms_blob"], tensors["text_terms_offsets"])
        self._row = lru_cache(_KEPT_TERMS)(terms.row)
        self._idf_T, self._axis_TF = tensors["text_idf"], tensors["text_axes"]

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> Self | None:
        """That of an artifact; None if its text features were made by something else."""
        return cls(tensors) if tensors.keys() >= TEXT_ENCODER_TENSORS else None

    def knows(self, record: ItemRecord) -> bool:
        """Whether the text of an item has a term of training's."""
        return any(self._row(token) is not None for token in _tokens(record))

    def encode(self, records: Sequence[ItemRecord]) -> NDArray[np.float32]:
        """The features of some items [X, F]; a row of zeros for one without a known term."""
        x_XF = np.zeros((len(records), self._axis_TF.shape[1]), dtype=np.float32)
        rows: list[int] = []
        counts: list[int] = []
        starts: list[int] = []
        places: list[int] = []
        for place, record in enumerate(records):
            found = Counter(row for row in map(self._row, _tokens(record)) if row is not None)
            if found:
                places.append(place)
                starts.append(len(rows))
                rows += found
                counts += found.values()
        if not places:
            return x_XF
        weight_N = (1 + np.log(counts)) * self._idf_T[rows]
        length_X = np.sqrt(np.add.reduceat(weight_N**2, starts))
        weight_N /= np.repeat(length_X, np.diff([*starts, len(rows)]))
        weighted_NF = self._axis_TF[rows] * weight_N[:, None].astype(np.float32)
        x_XF[places] = np.add.reduceat(weighted_NF, starts)
        return x_XF


def _tokens(record: ItemRecord) -> Iterator[str]:
    """As of the row that retraining makes of the record (`training.retrain.catalogue`)."""
    categories = (" ".join(name.replace("|", "/").split()) for name in record.categories)
    texts = (record.title or "", record.description or "")
    return tokens_of(texts, year_of(record), categories)
