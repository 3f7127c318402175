"""What items are called: in lists, and as people say it in sentences."""

import re
from typing import NamedTuple, Self

import orjson

_ARTICLE_BEHIND = re.compile(
    r"([^()\s][^()]*?), (The|An?|L[aeo]s?|L'|Une?|Il|Das|De[rns]|Die|Eine?|El)(?=\s*(?:[()]|$))"
)
"""As in `service/web/titles.js`."""


class Label(NamedTuple):
    """What one item is called."""

    item_id: str
    title: str | None
    """None if unknown."""
    name: str
    """In sentences, see `display_name`."""
    fields: bytes
    """The beginning of a JSON object: id and title."""
    json: bytes
    """Its name, inside a string of JSON."""

    @classmethod
    def of(cls, item_id: str, title: str | None) -> Self:
        """Of an item."""
        name = display_name(title or item_id)
        fields = orjson.dumps({"item_id": item_id, "title": title})[:-1]
        return cls(item_id, title, name, fields, in_string(name))


def display_name(title: str) -> str:
    """A title that lists sort by, `Fugitive, The (1993)`, with its articles in front."""
    return _ARTICLE_BEHIND.sub(_turned, title)


def in_string(text: str) -> bytes:
    """A text inside a string of JSON, without the quotes."""
    return orjson.dumps(text)[1:-1]


def _turned(found: re.Match[str]) -> str:
    rest, article = found.groups()
    return article + rest if article.endswith("'") else f"{article} {rest}"
