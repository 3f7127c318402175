"""Benchmarks that really run, and what they keep for the next time."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.data.files import peak_mb, reset_peak
from training.evaluate.protocol import VALIDATION_MASKED
from training.experiments.benchmark.cache import OutcomeCache, baseline_key, magnet_key
from training.experiments.benchmark.outcome import COMPARED, MAGNET
from training.experiments.benchmark.runner import ABLATIONS, BenchmarkPlan, run_benchmark
from training.fit.config import TrainingConfig

QUICK = TrainingConfig(max_epochs=3, embedding_dim=8, batch_size=256, negatives=16)


def plan(*models: str, **changes: object) -> BenchmarkPlan:
    return BenchmarkPlan(**{"seeds": (0, 1), "config": QUICK, "models": models, **changes})


def test_a_benchmark_trains_tests_and_compares(communities: Dataset):
    wanted = plan("popularity", "p3alpha", "vbpr", MAGNET, ablations=("bpr",))
    result = run_benchmark(communities, wanted)
    assert list(result.outcomes) == ["popularity", "p3alpha", MAGNET]
    assert [len(outcome.tests) for outcome in result.outcomes.values()] == [1, 1, 2]
    assert result.outcomes["p3alpha"].tests[0].metrics["recall@20"] > 0.9
    assert set(result.baseline_leads()[COMPARED[0]]) == {"popularity", "p3alpha"}
    assert result.outcomes[MAGNET].seconds_per_epoch is not None
    assert "needs content" in result.left_out["vbpr"]
    assert "ranking_loss='bpr'" in result.ablations["bpr"].settings
    assert result.validation_users is None


def test_what_is_cut_short_is_said(communities: Dataset):
    result = run_benchmark(communities, plan("lightgcn_bpr", tuning_seconds=0.0))
    notes = result.outcomes["lightgcn_bpr"].notes
    assert notes == (
        "1 of 4 settings tried in 0 minutes",
        "2 of 2 runs stopped after 0 minutes, while validation still improved",
    )


def test_a_baseline_is_reused_where_nothing_has_changed(communities: Dataset, tmp_path: Path):
    cache = OutcomeCache(tmp_path / "kept")
    wanted = plan("p3alpha", "lightgcn_bpr", tuning_seconds=0.0)
    first = run_benchmark(communities, wanted, cache).outcomes
    again = run_benchmark(communities, wanted, cache).outcomes
    for name, outcome in first.items():
        reused = again[name]
        assert reused.notes == (*outcome.notes, reused.notes[-1])
        assert "earlier run" in reused.notes[-1]
        assert reused.fit_seconds == outcome.fit_seconds
        for one, other in zip(outcome.tests, reused.tests, strict=True):
            assert one.metrics == other.metrics
            np.testing.assert_array_equal(one.top_UK, other.top_UK)


def test_magnet_is_reused_seed_by_seed(communities: Dataset, tmp_path: Path):
    cache = OutcomeCache(tmp_path)
    wanted = plan(MAGNET, ablations=("no_neighbourhood",))
    first = run_benchmark(communities, replace(wanted, seeds=(0,)), cache)
    files = set(tmp_path.iterdir())
    assert len(files) == 2
    both = run_benchmark(communities, wanted, cache)
    assert len(set(tmp_path.iterdir()) - files) == 2
    for one, two in (
        (first.outcomes[MAGNET], both.outcomes[MAGNET]),
        (first.ablations["no_neighbourhood"], both.ablations["no_neighbourhood"]),
    ):
        assert one.tests[0].metrics == two.tests[0].metrics
        np.testing.assert_array_equal(one.tests[0].top_UK, two.tests[0].top_UK)
        assert len(two.tests) == 2
        assert any("earlier run" in note for note in two.notes)


def test_by_the_published_protocol_validation_positives_train_too(
    communities: Dataset, tmp_path: Path
):
    cache = OutcomeCache(tmp_path)
    models = ("p3alpha", "lightgcn_ssm", MAGNET)
    usual = run_benchmark(communities, plan(*models, seeds=(0,)), cache)
    published = plan(*models, seeds=(0,), published_protocol=True)
    first, again = (run_benchmark(communities, published, cache) for _ in range(2))
    more = communities.train.nnz + communities.valid.nnz
    assert published.tested(communities).train.nnz == more
    for name in models:
        (test,), (before,) = first.outcomes[name].tests, usual.outcomes[name].tests
        np.testing.assert_array_equal(test.top_UK, again.outcomes[name].tests[0].top_UK)
        assert again.outcomes[name].notes != ()  # kept, and not taken for the usual outcome
        for user, top_K in zip(test.users, test.top_UK, strict=True):
            row_I = communities.train[[user]] + communities.valid[[user]]
            assert not set(row_I.indices) & set(top_K[: 60 - row_I.nnz].tolist())
        assert (test.top_UK != before.top_UK).any()


def test_other_settings_are_trained_anew(communities: Dataset):
    key = magnet_key(MAGNET, communities, QUICK)
    assert magnet_key(MAGNET, communities, QUICK.model_copy(update={"device": "cpu"})) == key
    assert magnet_key(MAGNET, communities, QUICK.model_copy(update={"seed": 7})) != key
    assert magnet_key("noise", communities, QUICK) != key
    assert magnet_key(MAGNET, replace(communities, sha256="other"), QUICK) != key


def test_where_time_splits_the_data_validation_items_are_masked_too(
    communities: Dataset, tmp_path: Path
):
    cache = OutcomeCache(tmp_path)
    run_benchmark(communities, plan("popularity"), cache)
    by_time = replace(communities, split="time")
    first, again = (run_benchmark(by_time, plan("popularity"), cache) for _ in range(2))
    for result in (first, again):
        assert VALIDATION_MASKED in result.outcomes["popularity"].tests[0].groups
        assert [c.group for c in result.measured(COMPARED)].count(VALIDATION_MASKED) == 2
    assert first.outcomes["popularity"].notes == ()  # what was kept had no such lists
    assert again.outcomes["popularity"].notes != ()


def test_a_key_differs_whenever_the_outcome_may(communities: Dataset):
    base = baseline_key("p3alpha", communities, (0,), 60.0)
    assert base == baseline_key("p3alpha", communities, (0,), 60.0)
    others = {
        baseline_key("rp3beta", communities, (0,), 60.0),
        baseline_key("p3alpha", replace(communities, sha256="other"), (0,), 60.0),
        baseline_key("p3alpha", communities, (0,), 61.0),
    }
    assert len(others - {base}) == 3


@pytest.mark.parametrize(("name", "differs"), [("p3alpha", False), ("vbpr", True)])
def test_a_closed_form_knows_no_seed(communities: Dataset, name: str, differs: bool):
    one, other = (baseline_key(name, communities, seeds, 60.0) for seeds in [(0,), (1,)])
    assert (one != other) == differs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("als",)}, "unknown model 'als': choose among popularity"),
        ({"ablations": ("no_soul",), "models": (MAGNET,)}, "unknown model 'no_soul'"),
        ({"seeds": ()}, "at least one seed"),
        ({"models": ("ease",), "ablations": ("bpr",)}, "add it to the models"),
    ],
)
def test_a_wish_that_cannot_be_met(changes: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_without_anything_to_test_there_is_no_benchmark(make_dataset):
    with pytest.raises(ValueError, match="0 validation and 0 test positives"):
        run_benchmark(make_dataset(np.eye(3)), plan("popularity"))


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_changes_a_setting_or_the_content(name: str):
    default, variant = TrainingConfig(), ABLATIONS[name]
    features = {
        "text": ModalityFeatures(x_IF=np.eye(3, dtype=np.float32), present_I=np.ones(3, bool))
    }
    content = variant.content(features)
    same = content.keys() == features.keys() and np.array_equal(
        content["text"].x_IF, features["text"].x_IF
    )
    assert variant.apply(default) != default or not same


def test_progress_is_told(communities: Dataset, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="training")
    run_benchmark(communities, plan("popularity"))
    assert "popularity: Recall@20 0." in caplog.text


def test_peak_memory_sees_a_large_array():
    reset_peak()
    before = peak_mb()
    ballast = np.ones(25_000_000, dtype=np.float64)
    assert peak_mb() - before > 150
    del ballast
