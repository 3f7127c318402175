import pytest

from deploy.benchmarks.serving import bulk_part


def test_both_ways_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_part, "ITEMS", 2_000)
    monkeypatch.setattr(bulk_part, "USERS", 32)
    monkeypatch.setattr(bulk_part, "ROUNDS", 1)
    outcome = bulk_part.measure()
    assert outcome.figures["bulk_users_per_s"] > 0
    assert outcome.figures["bulk_over_floor"] > 0
    assert "| floor, users/s | service, users/s |" in outcome.text
