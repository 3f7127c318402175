import pytest

from deploy.benchmarks.serving import live_part

pytestmark = pytest.mark.slow


def test_every_click_is_in_the_next_list(monkeypatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", "0.01")
    monkeypatch.setattr(live_part, "ITEMS", 1_000)
    monkeypatch.setattr(live_part, "_SECONDS", 0.5)
    outcome = live_part.measure()
    assert list(outcome.figures) == ["live_over_without", "click_to_list_p99_ms"]
    assert 0.5 < outcome.figures["live_over_without"] < 3
    assert 0 < outcome.figures["click_to_list_p99_ms"] < 5_000
