"""What counts as misbehaviour of a canary."""

import math

import numpy as np
import pytest

from service.serving.canary_guard import MIN_LISTS, misbehaviour, normalised_entropy
from service.serving.served import Counts

EVEN = np.full(4, 0.25)


def counts(answers: int = 0, failures: int = 0, routed: int = 0, weight_K=EVEN) -> Counts:
    total = 10.0 * routed
    return Counts(answers=answers, failures=failures, routed=routed, weight_K=total * weight_K)


def shares(first: float) -> np.ndarray:
    """One expert has so much, the other three the rest."""
    return np.array([first, *[(1 - first) / 3] * 3])


def test_entropy_is_normalised_by_the_number_of_experts() -> None:
    assert normalised_entropy(np.array([3.0, 3.0, 3.0])) == pytest.approx(1)
    assert normalised_entropy(np.array([5.0, 0.0, 0.0])) == 0
    assert normalised_entropy(np.array([2.0, 2.0, 0.0, 0.0])) == pytest.approx(math.log(2, 4))
    assert normalised_entropy(np.array([7.0])) == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "bad"),
    [
        ((0, 19), (1000, 0), False),  # too few to say anything
        ((0, 20), (1000, 0), True),
        ((196, 4), (4000, 0), False),  # 2 % of 200 may be chance
        ((985, 15), (20_000, 0), False),
        ((3880, 120), (80_000, 0), True),  # 3 % of 4000 is not
        ((900, 100), (9000, 1000), False),  # everybody's trouble
        ((700, 300), (9000, 1000), True),
        ((0, 30), (0, 0), True),  # nobody else was there to compare with
    ],
)
def test_failures_are_judged_beside_the_live_models(ours, theirs, bad: bool) -> None:
    reason = misbehaviour(counts(*ours), counts(*theirs), EVEN)
    assert (reason is not None) == bad
    if reason:
        assert reason.startswith(f"{ours[1]} of its {sum(ours)} requests failed")


@pytest.mark.parametrize(
    ("routed", "served", "usual", "live", "bad"),
    [
        (MIN_LISTS, shares(0.97), EVEN, EVEN, "its usual one is 1.00"),
        (MIN_LISTS - 1, shares(0.97), EVEN, EVEN, None),
        (MIN_LISTS, shares(0.6), EVEN, EVEN, None),
        (MIN_LISTS, EVEN, shares(0.97), EVEN, "its usual one is 0.12"),
        # As collapsed as its manifest says that it is: the live model tells.
        (MIN_LISTS, shares(0.97), shares(0.97), EVEN, "the live model's is 1.00"),
        (MIN_LISTS, shares(0.97), shares(0.97), shares(0.95), None),
    ],
)
def test_routing_is_judged_beside_its_usual_and_the_live_models(
    routed: int, served, usual, live, bad: str | None
) -> None:
    reason = misbehaviour(counts(200, 0, routed, served), counts(4000, 0, 4000, live), usual)
    assert (reason is None) == (bad is None)
    if bad is not None:
        assert reason.endswith(bad)
