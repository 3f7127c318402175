"""Tokens of an item's title, descriptions, year and categories.

Knows metadata fields; knows nothing about weighting or vectors.
"""

import re
from collections.abc import Iterator, Mapping

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from training.item_columns import DESCRIPTION_COLUMNS

WORD_FIELDS = ("title", *DESCRIPTION_COLUMNS)
_WORD = re.compile(r"[^\W_]{2,}")


def text_tokens(metadata: Mapping[str, object]) -> list[str]:
    """Lower-case words without English stop words, plus `year=`, `decade=` and `category=`."""
    return [*_words(metadata), *_facts(metadata)]


def _words(metadata: Mapping[str, object]) -> Iterator[str]:
    for field in WORD_FIELDS:
        for word in _WORD.findall(str(metadata.get(field, "")).lower()):
            if word not in ENGLISH_STOP_WORDS:
                yield word


def _facts(metadata: Mapping[str, object]) -> Iterator[str]:
    year = metadata.get("year")
    if isinstance(year, int):
        yield f"year={year}"
        yield f"decade={year // 10}"
    categories = metadata.get("categories", [])
    assert isinstance(categories, list)
    for category in categories:
        yield f"category={category.lower()}"
