import json
from pathlib import Path

import numpy as np
import pytest

from training.benchmark import MAGNET, MODELS, Benchmark, Lead, Outcome, run_benchmark
from training.benchmark_report import LABELS, as_json, as_markdown, update_document
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import Evaluation, evaluate
from training.memory import peak_mb, reset_peak


def outcome(dataset: Dataset, *noises: float) -> Outcome:
    """The truth under some noise; one run per noise."""

    def run(noise: float) -> Evaluation:
        rng = np.random.default_rng(round(noise * 1000))
        score = dataset.test.toarray() + noise * rng.standard_normal(dataset.test.shape)
        return evaluate(lambda users: score[users].astype(np.float32), dataset, dataset.test)

    return Outcome(
        settings="made up",
        tests=tuple(run(noise) for noise in noises),
        fit_seconds=1.5,
        seconds_per_epoch=0.25,
        peak_rss_mb=100.0,
    )


@pytest.fixture(scope="module")
def benchmark(communities: Dataset) -> Benchmark:
    return Benchmark(
        dataset_name="hand-made",
        summary="as made",
        seeds=(0, 1),
        outcomes={
            "popularity": outcome(communities, 5.0),
            "rp3beta": outcome(communities, 0.30),
            MAGNET: outcome(communities, 0.31, 0.29),
        },
        left_out={"ease": "EASE is left out: too many items"},
    )


def test_a_benchmark_trains_tests_and_compares(communities: Dataset):
    config = TrainingConfig(max_epochs=3, embedding_dim=8, batch_size=256, negatives=16)
    result = run_benchmark(communities, [0, 1], config, models=["popularity", "rp3beta", MAGNET])
    assert list(result.outcomes) == ["popularity", "rp3beta", MAGNET]
    assert [len(outcome.tests) for outcome in result.outcomes.values()] == [1, 1, 2]
    assert result.outcomes["rp3beta"].tests[0].metrics["recall@20"] > 0.9
    assert set(result.leads("recall@20")) == {"popularity", "rp3beta"}
    assert result.outcomes[MAGNET].seconds_per_epoch is not None


@pytest.mark.parametrize(
    ("seeds", "models", "message"),
    [([0], ["als"], "unknown model 'als': choose among popularity"), ([], MODELS, "one seed")],
)
def test_a_wish_that_cannot_be_met(communities: Dataset, seeds, models, message: str):
    with pytest.raises(ValueError, match=message):
        run_benchmark(communities, seeds, TrainingConfig(), models=models)


def test_every_model_has_a_label():
    assert set(LABELS) == set(MODELS)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "ahead"), (-0.1, 0.3, "tie"), (-0.3, -0.1, "behind")]
)
def test_a_lead_that_the_interval_does_not_bear_out_is_a_tie(low, high, verdict):
    assert Lead(mean=(low + high) / 2, low=low, high=high).verdict == verdict


def test_leads_are_differences_of_means_over_users(benchmark: Benchmark):
    lead = benchmark.leads("ndcg@20")["popularity"]
    magnet = np.mean([test.metrics["ndcg@20"] for test in benchmark.outcomes[MAGNET].tests])
    popularity = benchmark.outcomes["popularity"].tests[0].metrics["ndcg@20"]
    assert lead.mean == pytest.approx(magnet - popularity)
    assert lead.low < lead.mean < lead.high
    assert lead.verdict == "ahead"


def test_json_holds_means_spreads_groups_and_costs(benchmark: Benchmark):
    figures = json.loads(json.dumps(as_json(benchmark)))
    values = [test.metrics["recall@20"] for test in benchmark.outcomes[MAGNET].tests]
    magnet = figures[MAGNET]
    assert magnet["test"]["recall@20"] == {
        "mean": pytest.approx(sum(values) / 2),
        "std": pytest.approx(abs(values[0] - values[1]) / np.sqrt(2)),
    }
    assert magnet["groups"]["head items"]["ndcg@20"]["mean"] > 0
    assert (magnet["seconds_per_epoch"], magnet["peak_rss_mb"]) == (0.25, 100.0)
    assert figures["popularity"]["magnet_lead"]["ndcg@20"]["verdict"] == "ahead"
    assert magnet["magnet_lead"] == {}
    assert figures["benchmark"]["left_out"] == {"ease": "EASE is left out: too many items"}


def test_the_section_names_command_seeds_and_the_strongest_baseline(benchmark: Benchmark):
    text = as_markdown(benchmark, "python -m training benchmark --data DIR")
    assert "```\npython -m training benchmark --data DIR\n```" in text
    assert "Seeds: 0, 1." in text
    assert "| **MAGNET** | " in text
    assert "EASE is left out: too many items" in text
    assert "against the strongest baseline (RP3beta, " in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.endswith(" |") for line in rows)


def test_a_second_run_replaces_its_own_section_only(benchmark: Benchmark, tmp_path: Path):
    path = tmp_path / "docs" / "benchmarks.md"
    update_document(path, benchmark, "the first command")
    path.write_text(path.read_text() + "\nNotes by hand.\n")
    update_document(path, benchmark, "the second command")
    text = path.read_text()
    assert "the first command" not in text
    assert text.count("the second command") == 1
    assert text.startswith("# Benchmarks\n")
    assert text.endswith("<!-- benchmark hand-made end -->\n\nNotes by hand.\n")


def test_a_section_without_its_end_is_not_guessed_at(benchmark: Benchmark, tmp_path: Path):
    path = tmp_path / "benchmarks.md"
    path.write_text("<!-- benchmark hand-made start -->\nprecious\n")
    with pytest.raises(ValueError, match="restore it or remove both"):
        update_document(path, benchmark, "command")
    assert "precious" in path.read_text()


def test_peak_memory_sees_a_large_array():
    reset_peak()
    before = peak_mb()
    ballast = np.ones(25_000_000, dtype=np.float64)
    assert peak_mb() - before > 150
    del ballast
