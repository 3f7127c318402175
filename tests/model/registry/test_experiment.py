"""The verdict is right, and stays so for those who peek."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.registry.experiment import (
    ALPHA,
    MIN_EXPECTED,
    Experiment,
    Responses,
    compare,
    users_needed,
)

LOOK_EVERY, USERS = 100, 10_000


def verdicts(
    rates: tuple[float, float], share: float, runs: int, late: float = 0.0
) -> NDArray[np.str_]:
    """The first verdict of each simulated experiment by one who looks after every 100 users.

    Args:
        rates: of the champion and of the challenger.
        share: of the users, who get the challenger.
        runs: how many experiments.
        late: how many users come, on average, between a user and their click.
    """
    rng = np.random.default_rng(7)
    found = []
    for _ in range(runs):
        challenged = rng.random(USERS) < share
        clicks = rng.random(USERS) < np.where(challenged, *rates[::-1])
        at = np.arange(USERS) + rng.exponential(late, USERS).astype(int)

        def by_look(who: NDArray[np.bool_], when: NDArray[np.intp]) -> list[int]:
            counted = np.bincount(when[who & (when < USERS)], minlength=USERS)
            ends: list[int] = counted.cumsum()[LOOK_EVERY - 1 :: LOOK_EVERY].tolist()
            return ends

        every = np.arange(USERS)
        columns = [
            by_look(who, when)
            for arm in (~challenged, challenged)
            for who, when in ((arm, every), (arm & clicks, at))
        ]
        looks = (
            compare(Responses(old, old_clicks), Responses(new, new_clicks)).verdict
            for old, old_clicks, new, new_clicks in zip(*columns, strict=True)
        )
        found.append(next((each for each in looks if each != "undecided"), "undecided"))
    return np.array(found)


@pytest.mark.parametrize(
    ("rate", "share", "late"), [(0.1, 0.5, 0), (0.1, 0.05, 0), (0.3, 0.2, 0), (0.3, 0.5, 3000)]
)
def test_equal_models_are_hardly_ever_called_different(
    rate: float, share: float, late: float
) -> None:
    found = verdicts((rate, rate), share, 200, late)
    assert (found != "undecided").mean() <= ALPHA


def test_one_who_peeks_at_the_usual_interval_is_deceived() -> None:
    """So that the test above could fail: its looks are many enough."""
    rng = np.random.default_rng(7)
    deceived = 0
    for _ in range(100):
        counts = rng.binomial(LOOK_EVERY // 2, 0.1, (2, USERS // LOOK_EVERY)).cumsum(axis=1)
        users = np.arange(1, USERS // LOOK_EVERY + 1) * LOOK_EVERY // 2
        intervals = [
            compare(Responses(n, old), Responses(n, new)).interval
            for n, old, new in zip(users.tolist(), *counts.tolist(), strict=True)
        ]
        deceived += any(each and (each.low > 0 or each.high < 0) for each in intervals)
    assert deceived > 20


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((0.1, 0.14), "challenger better"), ((0.14, 0.1), "champion better")],
)
def test_a_real_difference_is_found(rates: tuple[float, float], expected: str) -> None:
    found = verdicts(rates, 0.5, 50)
    assert (found == expected).mean() >= 0.9
    assert set(found) <= {expected, "undecided"}


def test_figures_that_were_worked_out_elsewhere() -> None:
    # Newcombe (1998), table II, row (a), method 10: 56/70 - 48/80.
    found = compare(Responses(80, 48), Responses(70, 56)).interval
    assert found is not None
    assert (found.low, found.high) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )


def test_interval_p_value_and_verdict_agree() -> None:
    for clicks in range(400, 700, 3):
        found = compare(Responses(5000, 500), Responses(5000, clicks))
        valid, usual = found.always_valid_interval, found.interval
        assert valid is not None
        assert usual is not None
        assert valid.low < usual.low < found.difference < usual.high < valid.high
        without_zero = valid.low > 0 or valid.high < 0
        assert without_zero == (found.p_value < ALPHA) == (found.verdict != "undecided")


@pytest.mark.parametrize(
    ("champion", "challenger"),
    [
        (Responses(0, 0), Responses(100, 50)),
        (Responses(1000, 0), Responses(1000, 0)),
        (Responses(1000, 1000), Responses(1000, 1000)),
        (Responses(10_000, 1000), Responses(50, 50)),
    ],
)
def test_too_little_is_undecided(champion: Responses, challenger: Responses) -> None:
    found = compare(champion, challenger)
    assert (found.verdict, found.p_value, found.always_valid_interval) == ("undecided", 1.0, None)


def test_the_forecast_comes_true() -> None:
    champion, challenger = Responses(4000, 400), Responses(1000, 110)
    needed = users_needed(champion, challenger)
    assert needed is not None
    for factor, verdict in ((0.97, "undecided"), (1.03, "challenger better")):
        scale = factor * (1 + needed / 5000)
        more = [Responses(round(n * scale), round(k * scale)) for n, k in (champion, challenger)]
        assert compare(*more).verdict == verdict
    assert users_needed(Responses(4000, 400), Responses(1000, 100)) is None


def stored(**counts: int) -> Experiment:
    """Of 1,000 users a variant; the counts are users with a click, by variant."""
    found = {f"{variant}:users_clicked": count for variant, count in counts.items()}
    found |= {"champion:users": 1000, "challenger:users": 1000}
    return Experiment.of({name.encode(): str(value).encode() for name, value in found.items()})


def test_the_summary_says_it_in_plain_words() -> None:
    assert Experiment.of({}).summary.startswith("Undecided: users of both variants have to be")
    assert "expected to click, and as many not to" in stored(champion=3, challenger=4).summary
    assert str(MIN_EXPECTED) in stored(champion=3, challenger=4).summary
    told = stored(champion=100, challenger=120).summary
    assert told.startswith(
        "Undecided: 12.0% of 1,000 users clicked with the challenger, 10.0% of 1,000 with the "
        "champion; the difference is between -3.0 and +7.0 percentage points. "
    )
    assert told.endswith(" more users of both settle it.")
    assert stored(champion=100, challenger=200).summary.startswith("The challenger is better: ")
    assert stored(champion=200, challenger=100).summary.startswith("The champion is better: ")
    assert stored(champion=100, challenger=100).summary.endswith("would not settle it.")


@pytest.mark.parametrize(("challengers", "lost"), [(900, False), (1100, False), (600, True)])
def test_a_variant_that_loses_users_makes_the_verdict_worthless(
    challengers: int, lost: bool
) -> None:
    counts = {"champion:users": 1000, "champion:users_clicked": 100, "share": 0.5}
    counts |= {"challenger:users": challengers, "challenger:users_clicked": 300}
    found = Experiment.of({name.encode(): str(value).encode() for name, value in counts.items()})
    assert found.clicks.verdict == "challenger better"
    assert (found.loses_users, found.verdict) == (
        lost,
        "undecided" if lost else "challenger better",
    )
    told = "not to be trusted: 600 of 1,600 users got the challenger, though 50.0% were drawn"
    assert (told in found.summary) == lost


def test_a_hash_is_read_whole() -> None:
    found = Experiment.of(
        {
            b"share": b"0.5",
            b"champion_version": b"v1",
            b"since_ms": b"1767268800500",
            b"champion:lists": b"7",
            b"champion:users": b"3",
            b"challenger:lists_purchased": b"1",
            b"full": b"1",
        }
    )
    assert found.champion_version == "v1"
    assert found.counted_since is not None
    assert found.counted_since.isoformat() == "2026-01-01T12:00:00.500000+00:00"
    assert (found.variants["champion"].lists, found.variants["champion"].users) == (7, 3)
    assert found.variants["challenger"].lists_purchased == 1
    assert found.full
    assert found.clicks.difference is None
