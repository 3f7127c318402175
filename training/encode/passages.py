"""One passage per item for a text encoder: title, year, categories and descriptions.

Knows metadata fields; knows nothing about tokens or vectors.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from training.text import WORD_FIELDS

_TITLE, *_DESCRIPTIONS = WORD_FIELDS


@dataclass(frozen=True)
class Passage:
    """The text of one item."""

    text: str

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def size(self) -> int:
        """Characters: passages of like size make a batch with little padding."""
        return len(self.text)

    def open(self) -> str:
        """What the encoder reads."""
        return self.text


def passages(metadata: Sequence[Mapping[str, object]]) -> list[Passage | None]:
    """The passage of each item; None for an item of which nothing is known in words."""
    return [Passage(text) if (text := _text(fields)) else None for fields in metadata]


def _text(fields: Mapping[str, object]) -> str:
    """Sentences, the most telling first: encoders cut long texts off at the end."""
    title, year = str(fields.get(_TITLE, "")), str(fields.get("year", ""))
    if title and year and year not in title:
        title = f"{title} ({year})"
    categories = fields.get("categories", [])
    assert isinstance(categories, list)
    descriptions = [str(fields.get(field, "")) for field in _DESCRIPTIONS]
    parts = [title, ", ".join(categories), *descriptions]
    return " ".join(
        part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part
    )
