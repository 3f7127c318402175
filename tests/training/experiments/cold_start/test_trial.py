"""A trial that really trains, and the report of it."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deploy.cli.app import main
from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.experiments.cold_start.report import ColdStart, as_json, as_markdown
from training.experiments.cold_start.runner import (
    ColdStartPlan,
    NothingToMeasureError,
    drawn,
    run_cold_start,
)
from training.fit.config import TrainingConfig

SMALL = TrainingConfig(embedding_dim=8, batch_size=256, negatives=32, max_epochs=6)
PLAN = ColdStartPlan(seeds=(0,), config=SMALL, share=0.3)


@pytest.fixture(scope="module")
def told_apart(communities: Dataset) -> Dataset:
    """The communities, with features that tell their items apart."""
    group_IG = np.eye(4)[np.arange(60) % 4]
    x_IF = group_IG.repeat(2, axis=1) + 0.2 * np.random.default_rng(0).normal(size=(60, 8))
    content = ModalityFeatures(x_IF=x_IF.astype("f4"), present_I=np.arange(60) != 7)
    return replace(communities, features={"content": content})


@pytest.fixture(scope="module")
def result(told_apart: Dataset) -> ColdStart:
    return run_cold_start(told_apart, PLAN)


def test_users_are_served_without_having_been_trained_with(result: ColdStart) -> None:
    ways = result.users.ways
    assert result.users.withheld == 24
    assert list(ways.outcomes) == ["retrained", "reencoded", "folded_in", "popularity", "random"]
    assert 0 < ways.users <= 24
    for way in ("reencoded", "folded_in"):
        assert ways.lead(way, "random", "ndcg@20").verdict == "ahead"
        assert abs(ways.lead(way, "retrained", "ndcg@20").mean) < 0.15


def test_items_are_served_by_their_content(result: ColdStart, told_apart: Dataset) -> None:
    items = result.items
    assert items is not None
    assert items.withheld == 18
    assert items.with_content in (17, 18)
    for ways in (items.among_all, items.among_withheld):
        assert 0 < ways.users <= told_apart.test.nnz
        for way in ("reencoded", "content_only", "content_knn"):
            assert ways.lead(way, "random", "ndcg@20").verdict == "ahead"
    among_all = items.among_all.outcomes["popularity"].tests[0]
    withheld_rank = items.among_withheld.outcomes["popularity"].tests[0].per_user["recall@20"]
    assert among_all.metrics["recall@20"] < withheld_rank.mean() == 1.0  # 18 items in a list of 20


def test_what_withheld_items_displace_is_measured(result: ColdStart, told_apart: Dataset) -> None:
    items = result.items
    assert items is not None
    assert items.overall.users == (np.diff(told_apart.test.indptr) > 0).sum()
    lists = items.overall.outcomes["random"].tests[0].top_UK
    assert lists.shape == (items.overall.users, 20)
    assert (
        items.listed["popularity"] < items.listed["random"] < 0.5
    )  # a share of 18 in 60, unmasked
    item_I = drawn(np.bincount(told_apart.train.indices), PLAN.share)
    assert items.wanted == told_apart.test[:, item_I].nnz / told_apart.test.nnz


def test_a_way_lacks_nothing_of_itself(result: ColdStart) -> None:
    lead = result.users.ways.lead("retrained", "retrained", "recall@20")
    assert (lead.mean, lead.low, lead.high, lead.verdict) == (0, 0, 0, "tie")


def test_behaviour_alone_has_no_cold_items(communities: Dataset) -> None:
    alone = run_cold_start(communities, replace(PLAN, seeds=(0, 1)))
    assert alone.items is None
    assert len(alone.users.ways.outcomes["folded_in"].tests) == 2
    text = as_markdown(alone, "command")
    assert "the data hold no content" in text
    assert " ± " in text


def test_nothing_to_measure(communities: Dataset) -> None:
    with pytest.raises(NothingToMeasureError, match="24 withheld users have no test positive"):
        run_cold_start(replace(communities, test=communities.test * 0), PLAN)


def test_the_report_says_what_was_reached(result: ColdStart) -> None:
    text = as_markdown(result, "magnet cold-start --data DIR")
    lines = text.splitlines()
    assert "```\nmagnet cold-start --data DIR\n```" in text
    assert "### 24 withheld users" in text
    assert sum(line.startswith("| **content only** | ") for line in lines) == 3
    assert text.count("Content only minus content neighbours (") == 2
    for row, next_row in pairwise(lines):
        if row.startswith("|") and next_row.startswith("|"):
            assert row.count("|") == next_row.count("|")
    figures = json.loads(json.dumps(as_json(result)))
    items = figures["items"]
    ways = items["among_all"]["ways"]
    recall = result.items.among_all.outcomes["content_only"].tests[0].metrics["recall@20"]
    assert ways["content_only"]["test"]["recall@20"] == {"mean": recall, "std": 0.0}
    assert ways["random"]["minus_retrained"]["ndcg@20"]["verdict"] == "behind"
    assert items["among_withheld"]["tested_users"] == items["among_all"]["tested_users"]
    assert f"{items['places_listed']['content_only']:.1%}" in text


def test_the_command_writes_what_it_prints(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, document = tmp_path / "figures.json", tmp_path / "benchmarks.md"
    arguments = ["cold-start", "--data", str(tiny_data), "--share", "0.4", "--set", "max_epochs=1"]
    arguments += ["--json", str(out), "--document", str(document)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "--share 0.4 --seeds 1 --set max_epochs=1" in said
    assert said in document.read_text()
    figures = json.loads(out.read_text())
    assert figures["users"]["withheld"] == 24
    assert (
        f"{figures['items']['among_all']['ways']['content_only']['test']['ndcg@20']['mean']:.4f}"
        in said
    )


@pytest.mark.parametrize("share", ["0", "1", "much"])
def test_a_share_that_is_none(
    share: str, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cold-start", "--data", str(tiny_data), "--share", share]) == 2
    assert "--share" in capsys.readouterr().err


def test_no_test_part(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = (tiny_data / "tiny.inter").read_text().splitlines()
    labelled = [f"{header}\tx_label", *(f"{line}\t{n % 2}" for n, line in enumerate(lines))]
    (tmp_path / "labelled.inter").write_text("\n".join(labelled) + "\n")
    assert main(["cold-start", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "6 withheld users have no test positive; raise --share or choose another" in said
