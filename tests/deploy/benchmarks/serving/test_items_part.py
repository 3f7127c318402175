import pytest

from deploy.benchmarks.serving import items_part

pytestmark = pytest.mark.slow


def test_items_of_both_kinds_are_put_beside_requests(monkeypatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", "0.01")
    monkeypatch.setattr(items_part, "ITEMS", 1_000)
    monkeypatch.setattr(items_part, "PUT", 4_000)
    monkeypatch.setattr(items_part, "_ROUNDS", 2)
    monkeypatch.setattr(items_part, "_SECONDS", 0.5)
    outcome = items_part.measure()
    assert outcome.figures["items_errors"] == 0
    for kind in ("features", "texts"):
        assert outcome.figures[f"items_{kind}_p99_over_before"] > 0
        assert outcome.figures[f"items_{kind}_put_to_list_p99_s"] > 0
