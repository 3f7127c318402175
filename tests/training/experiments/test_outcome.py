"""Leads and the line to pass."""

import numpy as np
import pytest

from training.evaluate.protocol import paired_bootstrap
from training.experiments.outcome import MAGNET, Benchmark, Comparison, Lead, lead

NDCG = Comparison("ndcg@20", None)
TAIL_RECALL = Comparison("recall@20", "tail items")


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "ahead"), (-0.1, 0.3, "tie"), (-0.3, -0.1, "behind")]
)
def test_a_lead_that_the_interval_does_not_bear_out_is_a_tie(low, high, verdict):
    assert Lead(mean=(low + high) / 2, low=low, high=high).verdict == verdict


def test_leads_are_differences_of_means_over_users(benchmark: Benchmark):
    found = benchmark.leads(NDCG)["popularity"]
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
    found = benchmark.leads(TAIL_RECALL)["popularity"]
    assert (found.mean, found.low, found.high) == pytest.approx(expected)


def test_without_users_there_is_no_lead(benchmark: Benchmark):
    magnet, popularity = benchmark.outcomes[MAGNET], benchmark.outcomes["popularity"]
    assert lead(magnet, popularity, Comparison("recall@20", "sparse users")) is None


def test_the_line_is_the_best_baseline_that_sees_no_content(benchmark: Benchmark):
    best = max(benchmark.baselines, key=lambda n: benchmark.outcomes[n].values(NDCG)[0])
    assert best == "vbpr"
    assert benchmark.line(NDCG) == "rp3beta"


def test_variants_are_compared_with_the_full_model(benchmark: Benchmark):
    assert all(benchmark.ablation_leads(c)["bpr"].mean > 0 for c in benchmark.compared)
