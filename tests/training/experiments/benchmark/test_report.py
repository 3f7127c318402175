"""What the report says, in Markdown and in JSON."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from training.experiments.benchmark.outcome import MAGNET, Benchmark
from training.experiments.benchmark.report import as_json, as_markdown


def test_json_holds_means_spreads_groups_and_costs(benchmark: Benchmark):
    figures = json.loads(json.dumps(as_json(benchmark)))
    values = [test.metrics["recall@20"] for test in benchmark.outcomes[MAGNET].tests]
    magnet = figures[MAGNET]
    assert magnet["test"]["recall@20"] == {
        "mean": pytest.approx(sum(values) / 2),
        "std": pytest.approx(abs(values[0] - values[1]) / np.sqrt(2)),
    }
    assert magnet["groups"]["tail items"]["ndcg@20"]["mean"] > 0
    assert (magnet["seconds_per_epoch"], magnet["peak_rss_mb"]) == (0.25, 100.0)
    leads = figures["popularity"]["magnet_lead"]
    assert leads["ndcg@20"]["verdict"] == "ahead"
    assert leads["recall@20 (tail items)"]["low"] > 0
    assert magnet["magnet_lead"] == {}
    assert figures["ablations"]["bpr"]["magnet_lead"]["recall@20"]["mean"] > 0
    assert figures["rp3beta"]["notes"] == ["3 of 50 settings tried"]
    assert figures["benchmark"]["left_out"] == {"ease": "EASE is left out: too many items"}
    assert figures["benchmark"]["line_to_pass"]["ndcg@20"] == "rp3beta"


def test_the_section_says_what_a_reader_must_know(benchmark: Benchmark):
    text = as_markdown(benchmark, "magnet benchmark --data DIR")
    assert "```console\nmagnet benchmark --data DIR\n```" in text
    assert "Seeds: 0, 1." in text
    assert "validation positives of 5,000 users" in text
    assert "- EASE: EASE is left out: too many items" in text
    assert "- RP3beta: 3 of 50 settings tried" in text
    assert "- NDCG@20: RP3beta with " in text
    assert "- Recall@20, tail items: " in text
    assert "| BPR instead of the sampled softmax | " in text
    leads, worth = text.split("### What each piece is worth")
    assert ("Recall@20, cold items" in leads, "Recall@20, cold items" in worth) == (False, True)


def test_all_rows_of_a_table_are_equally_wide(benchmark: Benchmark):
    lines = as_markdown(benchmark, "command").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) > 20
    for row, next_row in pairwise(lines):
        if row.startswith("|") and next_row.startswith("|"):
            assert row.count("|") == next_row.count("|")
    assert all(row.endswith("|") for row in rows)


def test_baselines_alone_have_a_line_and_no_leads(benchmark: Benchmark):
    alone = replace(benchmark, outcomes=benchmark.baselines, ablations={})
    text = as_markdown(alone, "command")
    assert "- NDCG@20: RP3beta with " in text
    assert "MAGNET" not in text


def test_the_published_protocol_is_named(benchmark: Benchmark):
    published = replace(benchmark, published_protocol=True)
    text = as_markdown(published, "command")
    assert text.startswith("## hand-made, published protocol\n")
    assert "trained on training and validation positives together" in text
    assert "published protocol" not in as_markdown(benchmark, "command")
    assert as_json(published)["benchmark"]["published_protocol"] is True
