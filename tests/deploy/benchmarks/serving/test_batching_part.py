import pytest

from deploy.benchmarks.serving import batching_part

pytestmark = pytest.mark.slow


def test_every_caller_is_answered_in_every_way(monkeypatch) -> None:
    monkeypatch.setattr(batching_part, "ITEMS", 3_000)
    monkeypatch.setattr(batching_part, "CONNECTIONS", 8)
    monkeypatch.setattr(batching_part, "REQUESTS", 16)
    monkeypatch.setattr(batching_part, "ROUNDS", 2)
    outcome = batching_part.measure()
    assert list(outcome.figures) == ["batching_gain"]
    assert outcome.figures["batching_gain"] > 0
    rows = outcome.text.splitlines()[-3:]
    assert [row.split("|")[1].strip() for row in rows] == ["1", "8", "32"]
