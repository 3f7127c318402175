import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.benchmarks.parts import Benchmark, Outcome, Part, add_figures
from deploy.benchmarks.serving.__main__ import BENCHMARK
from training.reporting.documents import table


def part(name: str, value: float) -> Part:
    return Part(
        name=name,
        summary=f"what {name} is",
        measure=lambda: Outcome(
            figures={f"{name}_figure": value}, text=table(["what"], [[str(value)]])
        ),
    )


@pytest.fixture
def run(tmp_path: Path):
    command: Benchmark = replace(BENCHMARK, parts=(part("swift", 1.5), part("steady", 2.0)))

    def run(*arguments: str) -> int:
        out, document = tmp_path / "bench.json", tmp_path / "page.md"
        return command.main([*arguments, "--out", str(out), "--document", str(document)])

    return run


def test_all_parts_are_run_and_written(run, tmp_path: Path, capsys) -> None:
    assert run() == 0
    assert json.loads((tmp_path / "bench.json").read_text()) == {
        "steady_figure": 2.0,
        "swift_figure": 1.5,
    }
    page = (tmp_path / "page.md").read_text()
    section = page.partition("<!-- benchmark bench swift start -->")[2].partition("<!--")[0]
    assert "| what " in section
    assert "| 1.5 " in section
    assert "| 2.0 " in capsys.readouterr().out


def test_one_part_keeps_the_figures_of_the_others(run, tmp_path: Path) -> None:
    add_figures(tmp_path / "bench.json", {"swift_figure": 9.0, "steady_figure": 9.0})
    assert run("--parts", "steady") == 0
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures == {"swift_figure": 9.0, "steady_figure": 2.0}
    assert [path.name for path in tmp_path.glob("*bench*")] == ["bench.json"]


def test_an_unknown_part_is_named(run, capsys) -> None:
    with pytest.raises(SystemExit):
        run("--parts", "swift,slow")
    assert "slow is no part of it: choose from swift,steady" in capsys.readouterr().err


def test_a_results_file_of_another_kind_is_left_alone(run, tmp_path: Path, capsys) -> None:
    (tmp_path / "bench.json").write_text("[1]")
    assert run() == 1
    assert "is not a JSON object" in capsys.readouterr().err
    assert (tmp_path / "bench.json").read_text() == "[1]"
