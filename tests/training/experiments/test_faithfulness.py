"""What the command measures, on an artifact that was really trained."""

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.cli.app import main
from training.cli.fit import fit
from training.data.dataset import DataConfig
from training.data.synthetic import Planting, read_planted, write_planting
from training.evaluate.artifact import ArtifactEvaluation
from training.experiments.faithfulness import Agreement, Faithfulness, leading, measure_faithfulness
from training.fit.config import TrainingConfig


@pytest.fixture(scope="module")
def evaluation(artifact_dir: Path, tiny_data: Path) -> ArtifactEvaluation:
    return ArtifactEvaluation.open(artifact_dir, tiny_data)


def test_what_every_candidate_has_leads_nothing() -> None:
    part_CX = np.array([[5.0, 1.0], [5.2, 0.0], [5.0, 0.0], [5.1, 0.2]])
    listed_L = np.array([0, 1])
    assert leading(part_CX, listed_L, "largest").tolist() == [0, 0]
    assert leading(part_CX, listed_L, "above_usual").tolist() == [1, 0]


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
        router_learning_rate=0.005,  # some hundred steps are few for the default's
    )
    fit(DataConfig(folder=data), config, out)
    evaluation = ArtifactEvaluation.open(out, data)
    modalities = evaluation.artifact.manifest.modalities
    planted = read_planted(data, evaluation.dataset.user_ids, modalities)
    result = measure_faithfulness(evaluation, planted, num_users=240)
    for pairs, floor in (("recommended", 0.75), ("test", 0.85)):  # chance is a third
        agreement = result.planted[pairs]["above_usual"]
        assert agreement.share > floor
        assert set(agreement.by_driver) == set(modalities)
        assert min(agreement.by_driver.values()) > floor - 0.15
    assert result.deletion["expert"]["above_usual"].passed > 0.8
