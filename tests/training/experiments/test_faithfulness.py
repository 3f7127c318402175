import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.app import main
from training.cli.fit import fit
from training.data.dataset import DataConfig
from training.data.synthetic import Planting, read_planted, write_planting
from training.evaluate.artifact import ArtifactEvaluation
from training.experiments.faithfulness import (
    Agreement,
    Faithfulness,
    deletion_test,
    falls,
    leading,
    measure_faithfulness,
    without,
    without_and_renormalised,
)
from training.fit.config import TrainingConfig


@pytest.fixture(scope="module")
def evaluation(artifact_dir: Path, tiny_data: Path) -> ArtifactEvaluation:
    return ArtifactEvaluation.open(artifact_dir, tiny_data)


def test_what_every_candidate_has_leads_nothing() -> None:
    part_CX = np.array([[5.0, 1.0], [5.2, 0.0], [5.0, 0.0], [5.1, 0.2]])
    listed_L = np.array([0, 1])
    assert leading(part_CX, listed_L)["largest"].tolist() == [0, 0]
    assert leading(part_CX, listed_L)["above_usual"].tolist() == [1, 0]


def test_parts_add_up_and_every_removal_is_tested(evaluation: ArtifactEvaluation) -> None:
    result = measure_faithfulness(evaluation, None, num_users=1000)
    assert result.users == 59  # one user has no positive
    assert 0 < result.additivity_error < 1e-5
    assert list(result.deletion) == ["expert", "expert_renormalised", "modality"]
    for tests in result.deletion.values():
        for test in tests.values():
            assert test.pairs == 59 * 20
            assert 0 <= test.passed <= 1 - test.undecided < 1
        assert tests["largest"].passed > 0  # a model this small has hardly any other leader
    for led in result.most_led.values():
        assert 0 < led["above_usual"] < led["largest"] <= 1
    assert result.planted == {}


def planted_as(evaluation: ArtifactEvaluation, *drivers: str) -> dict[str, dict[str, Agreement]]:
    planted = dict.fromkeys(evaluation.dataset.user_ids, drivers)
    result = measure_faithfulness(evaluation, planted, num_users=20)
    return result.planted


def test_one_modality_leads_every_pair(evaluation: ArtifactEvaluation) -> None:
    modalities = evaluation.artifact.manifest.modalities
    alone = [planted_as(evaluation, modality) for modality in modalities]
    every = planted_as(evaluation, *modalities)
    for pairs, count in (("recommended", 20 * 20), ("test", 20)):
        for reading in ("largest", "above_usual"):
            assert every[pairs][reading].share == 1.0
            assert every[pairs][reading].by_driver == {"mixed": 1.0}
            shares = [agreements[pairs][reading].share for agreements in alone]
            assert sum(shares) == pytest.approx(1.0)
            assert alone[0][pairs][reading].pairs == count


def test_users_are_drawn_by_seed(evaluation: ArtifactEvaluation) -> None:
    def measured(seed: int) -> Faithfulness:
        return measure_faithfulness(evaluation, None, num_users=5, seed=seed)

    assert measured(0) == measured(0)
    assert measured(0) != measured(1)


def test_the_command_prints_and_writes_the_figures(
    artifact_dir: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    arguments = ["faithfulness", str(artifact_dir), "--data", str(tiny_data), "--json", str(out)]
    assert main([*arguments, "--users", "7"]) == 0
    said = capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert figures["users"] == 7
    assert f"{figures['additivity_error']:.1e}" in said
    verdict = figures["deletion"]["expert"]["above_usual"]
    assert f"{verdict['passed']:.4f}" in said
    assert f"{verdict['pairs']}" in said
    assert f"{figures['most_led']['20']['above_usual']:.4f}" in said
    assert "planted" not in said


@pytest.mark.parametrize("users", ["0", "some"])
def test_a_number_of_users_that_is_none(
    users: str, artifact_dir: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["faithfulness", str(artifact_dir), "--data", str(tiny_data), "--users", users]
    assert main(words) == 2
    assert "--users" in capsys.readouterr().err


def test_no_artifact(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faithfulness", str(tmp_path), "--data", str(tiny_data)]) == 1
    assert "is not an artifact" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_planted_leads(tmp_path: Path) -> None:
    data, out = tmp_path / "planted", tmp_path / "artifact"
    write_planting(Planting(users=240, items=200, choices=20, noise=0.0, cold=0.0), data)
    config = TrainingConfig(
        max_epochs=40,
        embedding_dim=16,
        negatives=64,
        router_learning_rate=0.001,  # some hundred steps are few for the default's
    )
    fit(DataConfig(folder=data), config, out)
    evaluation = ArtifactEvaluation.open(out, data)
    modalities = evaluation.artifact.manifest.modalities
    planted = read_planted(data, evaluation.dataset.user_ids, modalities)
    result = measure_faithfulness(evaluation, planted, num_users=240)
    for pairs, floor in (("recommended", 0.85), ("test", 0.9)):  # chance is a third
        agreement = result.planted[pairs]["above_usual"]
        assert agreement.share > floor
        assert set(agreement.by_driver) == set(modalities)
        assert min(agreement.by_driver.values()) > floor - 0.15
    assert result.deletion["expert"]["above_usual"].passed > 0.75  # 0.86 without item-item scores


BIAS_C = np.array([0.0, 0.1, 0.2, 0.3])
EXPERT_CK = np.array([[2.0, 0.5], [0.5, 1.5], [1.0, 0.5], [0.0, 0.0]])
WEIGHT_CK = np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
SCORE_C = BIAS_C + EXPERT_CK.sum(axis=1)  # 2.5, 2.1, 1.7, 0.3


def test_without_one_the_others_stay_as_they_are() -> None:
    expected = [[0.5, 2.0], [1.6, 0.6], [0.7, 1.2], [0.3, 0.3]]
    np.testing.assert_allclose(without(BIAS_C, EXPERT_CK), expected)


def test_the_weight_of_one_is_shared_out() -> None:
    part_CK = np.array([[2.0, 0.5], [0.5, 1.5], [1.5, 0.0], [0.0, 0.0]])
    expected = [[0.5 / 0.2, 2.0 / 0.8], [0.1 + 3.0, 0.1 + 1.0], [0.2, 0.2 + 1.5], [0.3, 0.3]]
    got = without_and_renormalised(BIAS_C, part_CK, WEIGHT_CK)
    np.testing.assert_allclose(got, expected)


def test_falls_count_the_ranks_that_are_lost() -> None:
    fall_LK = falls(SCORE_C, without(BIAS_C, EXPERT_CK), np.array([0, 1, 2]))
    # Without the first: 1.6, 0.7, 0.5, 0.3; without the second: 2.0, 1.2, 0.6, 0.3.
    np.testing.assert_array_equal(fall_LK, [[2, 0], [-1, 1], [-1, -1]])


def test_equal_scores_share_a_rank() -> None:
    level_CK = np.ones((4, 1))
    fall_LK = falls(np.array([4.0, 3.0, 2.0, 1.0]), level_CK, np.arange(4))
    np.testing.assert_array_equal(fall_LK[:, 0], [1.5, 0.5, -0.5, -1.5])


def test_the_verdict_needs_a_fall_that_is_furthest() -> None:
    fall_LX = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [0.0, 0.0], [-1.0, -2.0]])
    lead_L = np.zeros(5, dtype=np.int64)
    verdict = deletion_test([fall_LX[:2], fall_LX[2:]], [lead_L[:2], lead_L[2:]])
    assert verdict.pairs == 5
    assert verdict.passed == pytest.approx(1 / 5)
    assert verdict.undecided == pytest.approx(3 / 5)


@given(st.integers(0, 2**32 - 1))
def test_a_part_that_is_the_same_for_everyone_moves_nobody(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bias_C = rng.integers(-8, 8, size=30) / 8
    part_CX = rng.integers(-8, 8, size=(30, 3)) / 8
    part_CX[:, 1] = 0.5
    fall_LX = falls(bias_C + part_CX.sum(axis=1), without(bias_C, part_CX), np.arange(30))
    assert (fall_LX[:, 1] == 0).all()
    assert fall_LX.sum() == 0  # ranks are only handed round
