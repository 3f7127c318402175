import pytest

from deploy.benchmarks.serving import workers_part

pytestmark = pytest.mark.slow


def test_each_number_of_workers_answers(monkeypatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", "0.1")
    monkeypatch.setattr(workers_part, "WORKERS", (1, 2))
    monkeypatch.setattr(workers_part, "_ROUNDS", 1)
    outcome = workers_part.measure()
    assert len(outcome.figures) == 8
    assert min(outcome.figures.values()) > 0
