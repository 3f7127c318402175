"""Who belongs to a canary, and how it ends."""

import math
from datetime import UTC, datetime

import pytest

from model.registry.canary import Canary

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def canary(version: str = "v2", share: float = 0.1) -> Canary:
    return Canary(version=version, share=share, started_at=NOW)


def test_the_hash_is_the_documented_one_for_ever() -> None:
    """By `printf 'v2\\n196' | sha256sum`, and the same of user 7."""
    first, second = 0xFA3C9DE4D7EF9DC6 / 2**64, 0x588D0AC0A2FDFA8A / 2**64
    assert not canary(share=0.5).takes("196")
    assert first > 0.5 > second
    assert canary(share=second + 1e-9).takes("7")
    assert not canary(share=second - 1e-9).takes("7")


def test_shares_are_binomial_and_grow_by_keeping_whom_they_have() -> None:
    users = [f"user {number}" for number in range(10_000)]
    few = {user for user in users if canary(share=0.05).takes(user)}
    many = {user for user in users if canary(share=0.3).takes(user)}
    assert abs(len(few) - 500) < 4 * math.sqrt(10_000 * 0.05 * 0.95)
    assert abs(len(many) - 3000) < 4 * math.sqrt(10_000 * 0.3 * 0.7)
    assert few < many


def test_another_version_draws_other_users() -> None:
    users = [f"user {number}" for number in range(10_000)]
    one = {user for user in users if canary("v2").takes(user)}
    other = {user for user in users if canary("v3").takes(user)}
    assert abs(len(one & other) - 100) < 4 * math.sqrt(100)


def test_what_cannot_be_read_is_no_canary() -> None:
    assert Canary.parse(None) is None
    assert Canary.parse(b"{}") is None
    assert Canary.parse(canary().model_dump_json().replace("0.1", "0.9")) is None
    assert Canary.parse(canary().model_dump_json()) == canary()


def test_an_end_is_kept_and_no_longer_runs() -> None:
    ended = canary().ended("stopped", "why", NOW)
    stored = ended.model_dump_json()
    assert Canary.parse(stored) == ended
    assert ended.is_same(canary())
    assert not canary("v3").is_same(canary())
    assert not canary().is_same(None)


@pytest.mark.parametrize(
    ("live", "pinned", "outcome", "reason"),
    [
        ("v2", False, "promoted", "v2 went live"),
        ("v2", True, "promoted", "v2 went live"),
        ("v3", False, "superseded", "v3 went live"),
        ("v1", True, "superseded", "v1 was pinned"),
    ],
)
def test_it_ends_when_another_goes_live_or_is_pinned(
    live: str, pinned: bool, outcome: str, reason: str
) -> None:
    ended = canary().superseded_by(live, NOW, pinned=pinned)
    assert (ended.outcome, ended.reason, ended.ended_at) == (outcome, reason, NOW)
