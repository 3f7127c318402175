import pytest

from deploy.benchmarks.serving import engine_part
from service.retrieval import approximate
from service.retrieval import select as choice

pytestmark = pytest.mark.slow


def test_both_ways_are_timed_beside_the_floor_and_find_the_best(monkeypatch) -> None:
    monkeypatch.setattr(engine_part, "ROUNDS", {1_000: 2, 4_000: 2})
    monkeypatch.setattr(engine_part, "RECALL_USERS", 40)
    monkeypatch.setattr(choice, "EXACT_ITEMS", 2_000)
    monkeypatch.setattr(approximate, "ROUTED_DIRECTLY", 500)
    outcome = engine_part.measure()
    assert list(outcome.figures) == [
        "engine_1k_over_floor",
        "engine_4k_over_floor",
        "engine_4k_recall20",
    ]
    assert min(outcome.figures.values()) > 0
    assert outcome.figures["engine_4k_recall20"] > 0.98
    exact, approximated = (
        [cell.strip() for cell in line.split("|")] for line in outcome.text.splitlines()[-2:]
    )
    assert "exact" in exact
    assert "1.0000" in exact
    assert "approximate" in approximated
