"""A small shop's truth: who did what with which item and when, drawn from a seed."""

import uuid
from dataclasses import dataclass, field
from random import Random

from tests.messy.words import CATEGORIES, DISLIKES, LIKES, THINGS

YEARS = (1_420_000_000, 1_760_000_000)
"""Unix times from 2014 to 2025."""
VALUES = ("none", "rating", "count", "event")


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One user did something with one item, which happens once for a pair."""

    user: str
    item: str
    value: float | str | None
    """A rating, a count, or what the event is called."""
    time: int
    """Unix time."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What is known of an item."""

    title: str
    categories: list[str]
    price: float


@dataclass(frozen=True, kw_only=True)
class Shop:
    """All of it."""

    values: str
    """One of `VALUES`: what tells how much an item was liked."""
    top: int
    """The best rating."""
    deeds: list[Deed]
    things: dict[str, Thing]
    """By item id."""
    timed: bool
    described: bool
    likes: dict[str, bool] = field(default_factory=dict)
    """By event: whether it is a like."""


def draw_shop(random: Random) -> Shop:
    """A shop of some dozen users and items."""
    users = _ids(random, random.randint(14, 40), "user")
    items = _ids(random, random.randint(8, 24), "item")
    values = random.choice(VALUES)
    top = random.choice([5, 5, 5, 10, 100])
    events = random.sample(LIKES, random.randint(2, 4)) + random.sample(
        DISLIKES, random.randint(0, 2)
    )
    pairs = random.sample(
        [(user, item) for user in users for item in items],
        random.randint(60, min(220, len(users) * len(items))),
    )
    step = random.choice([0.5, 1, 1])
    most = random.choice([12, 12, 12, 1200, -1])

    def value() -> float | str | None:
        if values == "rating":
            return min(
                float(top), max(1, random.randint(1, top)) + (step % 1) * random.randint(0, 1)
            )
        if values == "count":
            return float(random.choice([1, 1, 1, 2, 3, most]))
        return random.choice(events) if values == "event" else None

    return Shop(
        values=values,
        top=top,
        deeds=[
            Deed(user=user, item=item, value=value(), time=random.randint(*YEARS))
            for user, item in pairs
        ],
        things={
            item: Thing(
                title=f"{random.choice(THINGS)} {place}",
                categories=random.sample(CATEGORIES, random.randint(1, 3)),
                price=round(random.uniform(1, 90), 2),
            )
            for place, item in enumerate(items)
        },
        timed=random.random() < 0.85,
        described=random.random() < 0.75,
        likes={event: event in LIKES for event in events},
    )


def _ids(random: Random, count: int, what: str) -> list[str]:
    """Distinct ids of one spelling."""
    letter = what[0]
    spell = random.choice(
        [
            lambda n: str(n + 1),
            lambda n: str(100_000 + 7 * n),
            lambda n: f"{n:05d}",
            lambda n: f"{letter}{n}",
            lambda n: f"{letter.upper()}-{n:03d}",
            lambda n: str(uuid.UUID(int=random.getrandbits(128), version=4)),
            lambda n: f"{what}.{n}@shop.example",
            lambda n: f"{letter} {n}/é",
            lambda n: str(4_006_381_333_931 + 13 * n),
            lambda n: f"{random.getrandbits(48):012x}",
        ]
    )
    return list(dict.fromkeys(spell(n) for n in range(count)))
