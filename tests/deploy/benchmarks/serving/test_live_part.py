import pytest

from deploy.benchmarks.serving import live_part

pytestmark = pytest.mark.slow


def test_every_click_is_in_the_next_list(monkeypatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", "0.01")
    monkeypatch.setattr(live_part, "ITEMS", 1_000)
    monkeypatch.setattr(live_part, "_SECONDS", 0.5)
    outcome = live_part.measure()
    assert list(outcome.figures) == ["live_over_without", "click_to_list_p99_ms"]
    assert outcome.figures["live_over_without"] > 0
    assert outcome.figures["click_to_list_p99_ms"] > 0
