import pytest

from deploy.benchmarks.serving import import_part

pytestmark = pytest.mark.slow


def test_every_format_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_part, "ROWS", 2_000)
    monkeypatch.setattr(import_part, "ROUNDS", 1)
    outcome = import_part.measure()
    assert outcome.figures["import_over_reading"] > 0
    assert outcome.figures["import_peak_mb"] > 10
    rows = outcome.text.splitlines()[-5:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "reading its fields, by Python's csv",
        "CSV",
        "CSV, dates as text",
        "JSON Lines",
        "Parquet",
    ]
