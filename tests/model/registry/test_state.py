"""The state machine of published versions, without a server."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from model.registry.canary import Canary
from model.registry.keys import KeySpace
from model.registry.state import CanaryRefused, Change, Refused, State
from tests.registry_table import CANARY, ENDED, SHARED, TRAINING_ONLY, Row

KEYS = KeySpace()
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TRIED = Canary.parse(CANARY)
STATE = State(live="v3", previous="v2", published_at={"v1": 100.0, "v2": 200.0, "v3": 300.0})
POINTERS = ("current", "previous", "pinned", "canary")


def held(row: Row) -> State:
    values = [row.pointers.get(name) for name in POINTERS]
    return State.of(
        "default",
        [None if value is None else value.encode() for value in values],
        [(name.encode(), score) for name, score in row.versions.items()],
        {b"v2": b"12"},
    )


def call(state: State, row: Row) -> Change:
    at: dict[str, Any] = {} if row.does == "unpin" else {"at": NOW}
    transition = getattr(state, row.does)
    change: Change = transition(*row.arguments, **at, **row.options)
    return change


@pytest.mark.parametrize("row", SHARED + TRAINING_ONLY, ids=lambda row: f"{row.does}: {row.name}")
def test_every_transition(row: Row) -> None:
    if row.refused:
        with pytest.raises(Refused) as refusal:
            call(held(row), row)
        assert row.refused in str(refusal.value)
        return
    commands = list(call(held(row), row).commands(KEYS))
    expected: list[tuple[str, ...]] = [
        ("DEL", f"mg:{{default}}:{name}") if value is None
        else ("SET", f"mg:{{default}}:{name}", value)
        for name, value in row.leads_to.items()
    ]  # fmt: skip
    written = [each for each in commands if each[0] in ("SET", "DEL") and "canary" not in each[1]]
    assert sorted(written) == sorted(expected)
    records = [json.loads(str(each[2])) for each in commands if each[:2] == ("SET", KEYS.canary)]
    assert [row.canary.items() <= record.items() for record in records] == [True] * bool(row.canary)
    told = [("PUBLISH", "mg:{default}:events", row.announces)] if row.announces else []
    assert [each for each in commands if each[0] == "PUBLISH"] == told


@pytest.mark.parametrize(
    ("state", "share", "live", "canary", "announced"),
    [
        (State(), None, "v4", None, "v4"),
        (State(), 0.1, "v4", None, "v4"),  # there is nothing for a canary to stand beside
        (STATE, None, "v4", None, "v4"),
        (STATE, 0.1, "v3", "v4", "v4"),
        (replace(STATE, pinned="v3"), None, "v3", None, None),
        (replace(STATE, pinned="v3"), 0.1, "v3", None, None),
        (replace(STATE, pinned="v4"), None, "v4", None, "v4"),
    ],
)
def test_publishing(
    state: State, share: float | None, live: str, canary: str | None, announced: str | None
) -> None:
    change = state.publish("v4", NOW, share)
    assert change.after.live == live
    assert change.after.roles["canary"] == canary
    assert change.after.pinned == state.pinned
    assert change.after.published_at["v4"] == NOW.timestamp()
    assert change.has_to_be_whole == ({"v4"} if announced else set())
    commands = list(change.commands(KEYS))
    assert ("ZADD", "mg:{default}:versions", NOW.timestamp(), "v4") in commands
    assert [each[2] for each in commands if each[0] == "PUBLISH"] == [announced][: bool(announced)]
    again = change.after.publish("v4", NOW, share)
    assert again.after == change.after
    assert not any(each[0] == "PUBLISH" for each in again.commands(KEYS))


def test_publishing_while_a_canary_runs() -> None:
    tried = replace(STATE, canary=TRIED)
    ended = tried.publish("v4", NOW).after.canary
    assert ended is not None
    assert (ended.outcome, ended.reason) == ("superseded", "v4 went live")
    with pytest.raises(CanaryRefused, match="'v2' is the canary already"):
        tried.publish("v4", NOW, 0.1)


def test_only_the_canary_that_is_meant_is_ended_or_promoted() -> None:
    assert TRIED is not None
    tried = replace(STATE, canary=TRIED)
    other = TRIED.model_copy(update={"started_at": NOW})
    assert not tried.end_canary("rolled_back", "why", NOW, only=other).happened
    assert tried.end_canary("rolled_back", "why", NOW, only=TRIED).happened
    assert not tried.promote_canary(other, NOW).happened
    assert not replace(STATE, canary=Canary.parse(ENDED)).promote_canary(TRIED, NOW).happened
    promoted = tried.promote_canary(TRIED, NOW).after
    assert (promoted.live, promoted.previous) == ("v2", "v3")
    assert promoted.canary is not None
    assert promoted.canary.outcome == "promoted"


def test_answers_are_counted_anew_for_every_canary() -> None:
    reset = ("DEL", "mg:{default}:canary_answers")
    counted = replace(STATE, answers={"v2": 7})
    started = counted.start_canary("v2", 0.1, NOW)
    assert reset in list(started.commands(KEYS))
    assert started.after.canary_answers == 0
    served = replace(started.after, answers={"v2": 3})
    wider = served.start_canary("v2", 0.2, NOW)
    assert reset not in list(wider.commands(KEYS))
    assert wider.after.canary_answers == 3


@pytest.mark.parametrize(
    ("keep", "grace", "roles", "gone"),
    [
        (1, 0, {}, ["a", "b", "c"]),
        (2, 0, {}, ["a", "b"]),
        (2, 0, {"pinned": "a"}, ["b"]),
        (2, 0, {"previous": "b"}, ["a"]),
        (1, 0, {"canary": TRIED.model_copy(update={"version": "a"})}, ["b", "c"]),
        (1, 15, {}, ["a", "b"]),
        (1, 25, {}, ["a"]),
        (4, 0, {}, []),
    ],
)
def test_pruning(keep: int, grace: float, roles: dict[str, Any], gone: list[str]) -> None:
    # a was superseded 30 s ago, b 20 s ago, c 10 s ago
    published_at = {"a": 60.0, "b": 70.0, "c": 80.0, "d": 90.0}
    state = State(published_at=published_at, live="d", **roles)
    at = datetime.fromtimestamp(100, UTC)
    commands = list(state.prune(at, keep=keep, grace_seconds=grace).commands(KEYS))
    assert commands == ([("ZREM", "mg:{default}:versions", *gone)] if gone else [])


EARLY = State(live="e2", previous="v1", published_at={"v1": 100.0, "e1": 150.0, "e2": 200.0})


@pytest.mark.parametrize("version", ["e3", "v2"])
def test_nobody_goes_back_to_an_early_model(version: str) -> None:
    after = EARLY.publish(version, NOW, early={"e1", "e2", "e3"}).after
    assert (after.live, after.previous) == (version, "v1")
    first = State(live="e1", published_at={"e1": 1.0})
    assert first.publish("v2", NOW, early={"e1"}).after.previous is None


def test_early_models_are_none_of_the_newest_that_stay() -> None:
    at = datetime.fromtimestamp(1000, UTC)
    published_at = {"v1": 10.0, "v2": 20.0, "e1": 30.0, "e2": 40.0, "e3": 990.0}
    state = State(live="e3", published_at=published_at)
    early = {"e1", "e2", "e3"}
    after = state.prune(at, keep=2, grace_seconds=0, early=early).after
    assert after.stored == {"v1", "v2", "e3"}
    after = state.prune(at, keep=2, grace_seconds=20, early=early).after
    assert after.stored == {"v1", "v2", "e2", "e3"}  # e2 may still be loading somewhere


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        (State(), ""),
        (EARLY, ""),
        (replace(EARLY, live="v1"), "v1 is live, and its training was finished"),
        (replace(EARLY, pinned="e2"), "e2 is pinned"),
        (replace(EARLY, canary=TRIED), "the canary v2 runs"),
    ],
)
def test_an_early_model_gives_way(state: State, refused: str) -> None:
    if refused:
        with pytest.raises(Refused, match=refused):
            state.publish_early("e3", NOW, {"e1", "e2", "e3"})
    else:
        assert state.publish_early("e3", NOW, {"e1", "e2", "e3"}).after.live == "e3"


def test_what_goes_live_becomes_a_canary_or_is_pinned_has_to_be_whole() -> None:
    tried = replace(STATE, canary=TRIED)
    assert STATE.activate("v1", NOW, pin=False).has_to_be_whole == {"v1"}
    assert STATE.activate("v3", NOW, pin=True).has_to_be_whole == {"v3"}, "it is live already"
    assert STATE.start_canary("v2", 0.1, NOW).has_to_be_whole == {"v2"}
    assert tried.start_canary("v2", 0.2, NOW).has_to_be_whole == set()
    assert tried.activate("v2", NOW, pin=False).has_to_be_whole == {"v2"}
    assert tried.end_canary("stopped", "", NOW).has_to_be_whole == set()
    assert STATE.roll_back(NOW).has_to_be_whole == {"v2"}


def test_a_pointer_that_is_no_text_is_read_all_the_same() -> None:
    assert State.of("default", [b"no version: \xff", None, None, None], [], {}).live is not None
