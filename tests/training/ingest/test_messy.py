"""Messy shops, each from a seed: what is imported is the truth, or the command asks or refuses."""

import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.messy.judging import Outcome, judged

NUM_SHOPS = int(os.environ.get("MESSY", "100"))
"""`make messy N=2000` sets it."""
LEAST_IMPORTED = 0.8
"""Of the shops whose files say all that is needed: one that always asks would be right as well."""


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    found = [judged(seed) for seed in range(NUM_SHOPS)]
    yield found
    results = Counter((each.result, each.clear) for each in found)
    for (result, clear), count in sorted(results.items()):
        sys.stdout.write(f"{count:6} {result}, {'clear' if clear else 'not clear'}\n")


@pytest.mark.timeout(30 + 2 * NUM_SHOPS)
def test_nothing_is_read_wrongly_in_silence(outcomes: list[Outcome]) -> None:
    wrong = [each for each in outcomes if each.result == "wrong"]
    assert not wrong, "\n".join(map(str, wrong))


def test_most_shops_are_imported_right_away(outcomes: list[Outcome]) -> None:
    clear = [each for each in outcomes if each.clear]
    left = [each for each in clear if each.result != "imported"]
    assert len(left) <= (1 - LEAST_IMPORTED) * len(clear), "\n".join(map(str, left))


def test_who_refuses_says_what_to_do(outcomes: list[Outcome]) -> None:
    for each in outcomes:
        if each.result == "refused":
            assert "; " in each.said, each
        if each.result == "asked":
            assert "not clear: " in each.said, each
