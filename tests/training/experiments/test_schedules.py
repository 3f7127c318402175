"""Schedules that are really trained, and the report and the picture of them."""

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.cli.app import main
from training.data.dataset import DataConfig, load_dataset
from training.experiments.schedules import (
    FIXED,
    TRIGGER,
    Schedules,
    as_json,
    as_markdown,
    draw_schedules,
    run_schedules,
)
from training.fit.config import TrainingConfig

SMALL = TrainingConfig(embedding_dim=8, batch_size=256, negatives=16, max_epochs=6)


@pytest.fixture(scope="module")
def result(tiny_data: Path) -> Schedules:
    dataset = load_dataset(DataConfig(folder=tiny_data))
    return run_schedules(dataset, SMALL, seeds=(0, 1), fixed=("never", 0, 2))


def test_each_schedule_switches_when_it_says(result: Schedules) -> None:
    switched = {switch: [run.trigger_epoch for run in runs] for switch, runs in result.runs.items()}
    assert switched == {TRIGGER: [None, None], "never": [None, None], 0: [3, 3], 2: [5, 5]}
    stages = [record.stage for record in result.runs[2][0].history]
    assert stages == ["encoders"] * 3 + ["coverage"] * 2 + ["specialisation"]


def test_runs_of_a_seed_differ_in_the_switch_alone(result: Schedules) -> None:
    for seed in (0, 1):
        early = [runs[seed].history[4].loss for switch, runs in result.runs.items() if switch != 0]
        assert early == [early[0]] * 3
    for switch, epoch in ((2, 5), (0, 3)):
        one, never = (result.runs[x][0].history for x in (switch, "never"))
        assert [x.loss for x in one[:epoch]] == [x.loss for x in never[:epoch]]
        assert one[epoch].loss != never[epoch].loss
    assert result.runs["never"][0].history[0].loss != result.runs["never"][1].history[0].loss


def test_the_smallest_share_is_relative_to_an_even_one(result: Schedules) -> None:
    run = result.runs[2][0]
    least = min(share for record in run.history[3:5] for share in record.expert_shares)
    assert run.smallest_share_in_coverage == pytest.approx(9 * least)
    kept = run.history[run.best_epoch - 1].expert_shares
    assert run.smallest_share_at_best == pytest.approx(9 * min(kept))
    assert result.runs[0][0].smallest_share_in_coverage is None


def test_the_best_fixed_schedule_is_chosen_on_validation(result: Schedules) -> None:
    reached = {
        switch: sum(run.valid.metrics["ndcg@20"] for run in runs)
        for switch, runs in result.runs.items()
        if switch != TRIGGER
    }
    assert reached[result.best_fixed()] == max(reached.values())
    lead = result.lead("never", "ndcg@20")
    assert (lead.mean, lead.verdict) == (0, "tie")  # this short, the trigger is never due


def test_the_report_says_what_was_reached(result: Schedules) -> None:
    text = as_markdown(result, "magnet schedule --data DIR", "plot.svg")
    assert "```console\nmagnet schedule --data DIR\n```" in text
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    switched = {row[1]: row[2] for row in cells if len(row) > 2}
    assert switched["**entropy trigger**"] == "never, never"
    assert switched["from the start"] == "3, 3"
    assert switched["after 2 epochs"] == "5, 5"
    assert "(plot.svg)" in text
    lines = text.splitlines()
    for row, next_row in pairwise(lines):
        if row.startswith("|") and next_row.startswith("|"):
            assert row.count("|") == next_row.count("|")
    figures = json.loads(json.dumps(as_json(result)))
    assert figures["schedules"]["entropy"]["trigger_minus_it"]["ndcg@20"]["mean"] == 0
    assert len(figures["schedules"]["2"]["runs"][1]["history"]) == 6
    assert figures["best_fixed"] == result.best_fixed()


def test_the_picture_shows_every_expert_and_schedule(result: Schedules) -> None:
    texts = [
        (element.text or "").strip()
        for element in ElementTree.fromstring(draw_schedules(result)).iter()
    ]
    run = result.runs[TRIGGER][0]
    assert len(run.experts) == 9
    assert set(run.experts) <= set(texts)
    assert {"of single pairs", "entropy trigger", "never", "after 2 epochs"} <= set(texts)
    assert not [text for text in texts if text and "specialisation begins" in text]


def test_the_command_writes_what_it_prints(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot, out = tmp_path / "pictures" / "plot.svg", tmp_path / "figures.json"
    plot.parent.mkdir()
    document = tmp_path / "docs" / "benchmarks.md"
    # Nothing moves: the entropies have levelled off as soon as there are enough of them.
    settings = ["--set", "max_epochs=12", "--set", "learning_rate=1e-9"]
    settings += ["--set", "router_learning_rate=1e-9", "--set", "embedding_dim=8"]
    arguments = ["schedule", "--data", str(tiny_data), *settings, "--plot", str(plot)]
    arguments += ["--json", str(out), "--document", str(document)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(part in document.read_text() for part in said.strip().split("\n\n"))
    assert "(../pictures/plot.svg)" in said
    assert "--set max_epochs=12" in said
    assert set(json.loads(out.read_text())["schedules"]) == {str(x) for x in (TRIGGER, *FIXED)}
    assert "specialisation begins after epoch" in plot.read_text(encoding="utf-8")


def test_no_test_part(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (tiny_data / "tiny.inter").read_text().splitlines()
    labelled = [f"{lines[0]}\tx_label"]
    labelled += [f"{line}\t{n % 2}" for n, line in enumerate(lines[1:])]
    (tmp_path / "labelled.inter").write_text("\n".join(labelled) + "\n")
    assert main(["schedule", "--data", str(tmp_path)]) == 1
    assert "has no test positives under the split by label" in capsys.readouterr().err
