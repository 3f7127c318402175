"""Reads cards of a running service as somebody does who sees one alone.

    python -m tests.cards [--url URL] [--users 50]

Draws users by a fixed seed. A card's first sentence must be one of those of
docs/reading-an-explanation.md, and must name what `because` holds: the first item, and where it
names two, the second. Nothing in it but names may be a word of engineers.
"""

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from magnet_client import Client
from service.serving.labels import display_name

SEED = 0
_CONTENT = "(?:description|title|looks|sound|category|genre)"
_SENTENCES = {
    "Because you … A and B": "Because you (?:liked|looked at) {A} and {B}",
    "Because you … A": "Because you (?:liked|looked at) {A}",
    "Popular with people who liked A": "Popular with people who liked {A}",
    "New, and like A in …": "New, and like {A} in C(?:(?:, C)* and C)?".replace("C", _CONTENT),
    "New, and like A": "New, and like {A}",
    "New": "New",
    "Close to your taste": "Close to your taste",
    "Popular right now": "Popular right now",
}
"""A and B are the first of those whom `because` holds."""
_OF_NOBODY = "New", "Close to your taste"
_NOBODY = r"(?!)"
"""Matches nothing."""


class Card(NamedTuple):
    """The first sentence of a card, and whom `because` holds."""

    text: str
    names: Sequence[str]

    @property
    def kind(self) -> str | None:
        """Of the sentence that names exactly these; None if it is none of `_SENTENCES`."""
        first, second = (*map(re.escape, self.names), _NOBODY, _NOBODY)[:2]
        for kind, sentence in _SENTENCES.items():
            pattern = sentence.replace("{A}", first).replace("{B}", second)
            if re.fullmatch(pattern, self.text) and not (self.names and kind in _OF_NOBODY):
                return kind
        return None


def users(client: Client) -> Iterator[str]:
    """Of a service, all of them."""
    cursor: str | None = None
    while True:
        page = client.users(limit=1000, cursor=cursor)
        yield from page.user_ids
        cursor = page.next_cursor
        if cursor is None:
            return


def cards(client: Client, number: int, k: int = 12) -> list[Card]:
    """Every card of so many users, or of all if there are fewer."""
    known = list(users(client))
    drawn = random.Random(SEED).sample(known, min(number, len(known)))
    return [
        Card(item.reasons[0], [display_name(each.title or each.item_id) for each in item.because])
        for user in drawn
        for item in client.recommend(user, k=k).items
    ]


def main() -> None:
    """Count the kinds of sentences; exit status 1 if a card does not read well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--users", type=int, default=50, help="default: %(default)s")
    given = parser.parse_args()
    with Client(given.url) as client:
        found = cards(client, given.users)
    bad = [card for card in found if card.kind is None]
    for kind, count in Counter(card.kind for card in found if card.kind).most_common():
        sys.stdout.write(f"{count:6}  {kind}\n")
    sys.stdout.write(f"{len(found):6}  cards, {len(bad)} of which do not read well\n")
    sys.stdout.writelines(f"        {text!r}, because of {names}\n" for text, names in bad)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
