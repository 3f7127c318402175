import pytest

from deploy.benchmarks.serving import start_part

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_starts_are_timed_first_and_again(monkeypatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", "0.1")
    monkeypatch.setattr(start_part, "SIZES", (7_000, 10**15))
    monkeypatch.setattr(start_part, "PUT", 5_000)
    monkeypatch.setattr(start_part, "_ROUNDS", 1)
    monkeypatch.setattr(start_part, "_ASKED", 5)
    monkeypatch.setattr(start_part, "_FINISHING_SECONDS", 0)
    outcome = start_part.measure()
    assert len(outcome.figures) == 16  # without the catalogue that no machine holds
    for module in ("fastapi", "service_app"):
        assert outcome.figures[f"start_import_{module}_s"] > 0
    for name in ("7k", "put"):
        for when in ("first", "again"):
            assert outcome.figures[f"start_{name}_{when}_s"] > 0
        assert outcome.figures[f"start_{name}_own_mb"] > 50


def test_a_line_goes_through_both_sizes() -> None:
    low, high = (start_part._Measured(*(number * each for each in range(7))) for number in (1, 2))
    found = start_part._by_line({100: low, 200: high}, 400)
    assert found.keys() == low.row("").keys()
    assert (found["processor again"], found["mapped, MB"], found["own, MB"]) == ("12", "20", "")
