"""Leads and the line to pass."""

import numpy as np
import pytest

from training.evaluate.protocol import paired_bootstrap
from training.experiments.benchmark.outcome import COMPARED, MAGNET, Benchmark, Comparison, lead

NDCG = Comparison("ndcg@20", None)
TAIL_RECALL = Comparison("recall@20", "tail items")


def test_leads_are_differences_of_means_over_users(benchmark: Benchmark):
    found = benchmark.baseline_leads()[NDCG]["popularity"]
    magnet = np.mean([test.metrics["ndcg@20"] for test in benchmark.outcomes[MAGNET].tests])
    popularity = benchmark.outcomes["popularity"].tests[0].metrics["ndcg@20"]
    assert found.mean == pytest.approx(magnet - popularity)
    assert found.low < found.mean < found.high
    assert found.verdict == "ahead"


def test_a_lead_on_tail_items_is_over_their_users(benchmark: Benchmark):
    magnet, popularity = benchmark.outcomes[MAGNET], benchmark.outcomes["popularity"]
    difference_U = magnet.per_user(TAIL_RECALL) - popularity.per_user(TAIL_RECALL)
    scored_U = np.isfinite(difference_U)
    assert 0 < scored_U.sum() < len(scored_U)
    expected = paired_bootstrap(difference_U[scored_U], np.zeros(scored_U.sum()), seed=0)
    found = benchmark.baseline_leads()[TAIL_RECALL]["popularity"]
    assert (found.mean, found.low, found.high) == pytest.approx(expected)


def test_without_users_there_is_no_lead(benchmark: Benchmark):
    magnet, popularity = benchmark.outcomes[MAGNET], benchmark.outcomes["popularity"]
    assert lead(magnet, popularity, Comparison("recall@20", "sparse users")) is None


def test_the_line_is_the_best_baseline_that_sees_no_content(benchmark: Benchmark):
    best = max(benchmark.baselines, key=lambda n: benchmark.outcomes[n].values(NDCG)[0])
    assert best == "vbpr"
    assert benchmark.line(NDCG) == "rp3beta"


def test_variants_are_compared_with_the_full_model(benchmark: Benchmark):
    leads = benchmark.ablation_leads()
    assert all(leads[compared]["bpr"].mean > 0 for compared in benchmark.measured(COMPARED))
