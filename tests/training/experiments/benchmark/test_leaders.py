"""The first table of docs/benchmarks.md, from figures of a benchmark."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli.app import main
from training.experiments.benchmark.leaders import as_markdown, read_rankings
from training.experiments.benchmark.outcome import MAGNET, Benchmark, Comparison
from training.experiments.benchmark.report import as_json


@pytest.fixture
def kept(benchmark: Benchmark, tmp_path: Path) -> list[Path]:
    """Two data sets; the second has no baseline with content."""
    outcomes = {name: x for name, x in benchmark.outcomes.items() if name != "vbpr"}
    second = replace(benchmark, outcomes=outcomes, dataset_name="other", published_protocol=True)
    paths = []
    for result in (benchmark, second):
        paths.append(tmp_path / f"{result.dataset_name}.json")
        paths[-1].write_text(json.dumps(as_json(result)))
    return paths


def test_it_says_who_leads_and_by_how_much(benchmark: Benchmark, kept: list[Path]) -> None:
    lead = benchmark.baseline_leads()[Comparison("ndcg@20", None)]["vbpr"]
    value = benchmark.outcomes["vbpr"].tests[0].metrics["ndcg@20"]
    text = as_markdown(read_rankings(kept), "magnet leaders FILES")
    first, second = (line for line in text.splitlines() if line.startswith("- **"))
    assert "VBPR" in first
    assert "RP3beta" in second
    assert second.startswith("- **other, published protocol** ")
    assert "```console\nmagnet leaders FILES\n```" in text
    (row,) = {line for line in text.splitlines() if f"{value:.4f}" in line}
    tie = ", tie" if lead.verdict == "tie" else ""
    assert f"({lead.mean / value:+.0%}{tie})" in row
    assert row.endswith("|  |")


def test_the_best_of_a_column_is_bold(benchmark: Benchmark, kept: list[Path]) -> None:
    for rankings in read_rankings(kept).values():
        best = max(rankings[1].standings.values(), key=lambda x: x.value)
        assert rankings[1].standings[rankings[1].best()] == best
    (row,) = [
        line
        for line in as_markdown(read_rankings(kept[1:]), "").split("NDCG@20;")[1].splitlines()
        if line.startswith("| **MAGNET**")
    ]
    wins = read_rankings(kept)["ndcg@20"][1].best() == MAGNET
    assert row.count("**") == (4 if wins else 2)


def test_the_command_replaces_its_section(kept: list[Path], tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.md"
    words = ["leaders", *map(str, kept), "--document", str(page)]
    assert main(words) == 0
    assert "## Who leads" in capsys.readouterr().out
    assert "<!-- benchmark leaders start -->" in page.read_text()


def test_a_file_without_figures_is_named(tmp_path: Path, capsys) -> None:
    path = tmp_path / "none.json"
    path.write_text('{"benchmark": {}}')
    assert main(["leaders", str(path)]) == 1
    said = capsys.readouterr().err
    assert "none.json" in said
    assert "benchmark --json" in said
