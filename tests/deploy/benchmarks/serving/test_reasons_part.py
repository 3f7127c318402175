import pytest

from deploy.benchmarks.serving import reasons_part


def test_lists_are_timed_with_and_without_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons_part, "SIZES", (2_000,))
    monkeypatch.setattr(reasons_part, "ROUNDS", 4)
    outcome = reasons_part.measure()
    assert set(outcome.figures) == {"reasons_2k_batch1", "reasons_2k_batch8"}
    assert all(0.5 < ratio < 5 for ratio in outcome.figures.values())
    assert "without reasons" in outcome.text
