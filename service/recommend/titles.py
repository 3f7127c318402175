"""Titles as people say them, in sentences."""

import re
from functools import lru_cache

_ARTICLE_BEHIND = re.compile(
    r"([^()\s][^()]*?), (The|An?|L[aeo]s?|L'|Une?|Il|Das|De[rns]|Die|Eine?|El)(?=\s*(?:[()]|$))"
)
"""As in `service/web/titles.js`."""
_KEPT_TITLES = 4_096


@lru_cache(_KEPT_TITLES)
def spoken(title: str) -> str:
    """A title that lists sort by, `Fugitive, The (1993)`, with its articles in front."""
    return _ARTICLE_BEHIND.sub(_turned, title)


def _turned(found: re.Match[str]) -> str:
    rest, article = found.groups()
    return article + rest if article.endswith("'") else f"{article} {rest}"
