"""What names of columns and of events mean: `column_names.toml` and `event_words.toml`."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


_NAMES = _toml("column_names.toml")
_BESIDE: dict[str, frozenset[str]] = {
    role: frozenset(words.split()) for role, words in _NAMES.pop("beside").items()
}
"""For each role, words that its names may contain besides its own."""
ID_WORDS = frozenset({"id", "ids", "no", "nr", "number", "nummer", "code", "key", "uuid"})
"""Words in the names of columns that identify something."""
NAMES: dict[str, Sequence[frozenset[str]]] = {
    role: [frozenset(group.split()) for group in groups]
    for role, groups in (_NAMES | {"id": _NAMES["item"] + _NAMES["id"]}).items()
}
"""For each role, names that leave little doubt, then others; see `column_names.toml`."""
_UNIT = re.compile(r"(?<=\w)\s*[(\[][^()\[\]]*[)\]]\s*$")
_PARTS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")


def named(role: str, columns: Sequence[str]) -> list[str]:
    """Columns whose names fit a role: only those that fit it best."""
    return next(by_fit(role, columns), [])


def by_fit(role: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """Columns whose names fit a role, those that fit best first; no list is empty.

    A phrase of known words (`ID do cliente`) fits as well as a name of the second group.
    """
    groups, beside = NAMES[role], _BESIDE.get("item" if role == "id" else role, frozenset())
    own = frozenset().union(*groups[:2])
    phrases = {
        x for x in columns if own.intersection(words := words_of(x)) and own | beside >= {*words}
    }
    for place, names in enumerate(groups if len(groups) > 1 else [*groups, frozenset()]):
        alike = {column for column in columns if plain(column) in names}
        if place == 1:
            alike |= phrases.difference(column for column in columns if plain(column) in groups[0])
        if alike:
            yield [column for column in columns if column in alike]


def fits(word: str, pattern: str) -> bool:
    """Whether a word is one of a list, in which `*` stands for any ending."""
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def words_of(name: str) -> list[str]:
    """The words of a name such as `order_date`, `orderDate` or `Date d'achat`, plain."""
    return [plain(part) for part in _PARTS.findall(_UNIT.sub("", name))]


def plain(name: str) -> str:
    """The letters and digits of a name, in lower case; a unit in parentheses is no part of it."""
    name = _UNIT.sub("", name)
    return "".join(each for each in normalize("NFKD", name).lower() if each.isalnum())


_LIKE = 1.0
_POINTS = {"against": -5.0, "undo": -1.0, "shown": 0.0}
"""Points of each group of events, the strongest first; a rejection outweighs a few views."""
_WORDS = {group: words.split() for group, words in _toml("event_words.toml").items()}


def weights_of(events: Iterable[str]) -> dict[str, float]:
    """Points of each event: 1 for a like, 0 for what says nothing, less for the opposite."""
    return {event: points_of(event) for event in events}


def points_of(event: str) -> float:
    """Points of one event by its words."""
    parts = words_of(event)
    found = [
        points
        for group, points in _POINTS.items()
        if any(fits(part, word) for part in [*parts, plain(event)] for word in _WORDS[group])
    ]
    return found[0] if found else _LIKE
