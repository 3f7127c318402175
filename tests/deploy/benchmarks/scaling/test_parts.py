"""`make scale`: what its parts measure, at sizes that take a moment."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.benchmarks.parts import Outcome, Part
from deploy.benchmarks.scaling import import_part, setup_part, step_part
from deploy.benchmarks.scaling.__main__ import BENCHMARK
from deploy.benchmarks.scaling.data import Size


def test_parts_write_their_figures_and_sections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Outcome(figures={"growth": 8.0}, text="| a table |")
    benchmark = replace(BENCHMARK, parts=(Part("quick", "", lambda: outcome),))
    out, document = tmp_path / "scale.json", tmp_path / "page.md"
    arguments = ["--parts", "quick", "--out", str(out), "--document", str(document)]
    assert benchmark.main(arguments) == 0
    assert json.loads(out.read_text()) == {"growth": 8.0}
    assert "<!-- benchmark scaling quick start -->\n| a table |" in document.read_text()
    assert "| a table |" in capsys.readouterr().out


def test_an_impossible_scale_is_told(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BENCH_SCALE", "2")
    assert BENCHMARK.main(["--parts", "import"]) == 1
    assert "BENCH_SCALE is '2'" in capsys.readouterr().err


def test_every_part_has_its_place_in_the_document() -> None:
    document = Path("docs/scaling.md").read_text()
    for part in BENCHMARK.parts:
        assert f"<!-- benchmark scaling {part.name} start -->" in document


def test_set_up_is_timed_step_by_step() -> None:
    found = setup_part.set_up(400)
    assert set(found.seconds) == {"start", "graph", "item-item", "features"}
    assert min(found.seconds.values()) >= 0
    assert 0 < found.data_mb <= found.peak_mb


def test_a_step_has_the_same_batch_at_all_sizes() -> None:
    costs = [step_part.step_of(Size(400, 200, count))[0] for count in (2_000, 8_000)]
    assert costs[0].positives == costs[1].positives
    assert min(cost.propagation for cost in costs) > 0


def test_rows_by_day_are_imported(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = import_part.imported(5_000)
    assert found.rows == 5_000
    assert found.seconds > 0
    assert list(tmp_path.iterdir()) == []
