"""What events mean by their names: likes, and what takes a like back; see `event_words.toml`."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from training.ingest.mapping import fits, plain, words_of

_LIKE = 1.0
_POINTS = {"against": -5.0, "undo": -1.0, "shown": 0.0}
"""By group of words, the strongest first; one that turns an item down outweighs a few views."""
_WORDS = {
    group: words.split()
    for group, words in tomllib.loads(
        Path(__file__).with_name("event_words.toml").read_text(encoding="utf-8")
    ).items()
}


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
