"""The command line as a new user meets it: one line that says what to do, never a traceback."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deploy.cli.app import main
from model.artifact.files import read_artifact
from model.artifact.manifest import EpochRecord
from training.cli.fit import fit
from training.data.dataset import DataConfig, load_dataset
from training.evaluate.artifact import ArtifactEvaluation
from training.evaluate.protocol import evaluate
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.trainer import train

QUICK = ["--max-epochs", "1", "--embedding-dim", "8", "--batch-size", "64"]


def copied(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "data"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said when a command fails."""
    assert main([*map(str, arguments)]) in (1, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said.splitlines()[-1]


def test_fit_shows_progress_and_evaluate_repeats_its_table(
    tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "artifact"
    arguments = ["fit", "--data", str(tiny_data), "--out", str(out), "--embedding-dim", "8"]
    quick = ["--max-epochs", "3", "--batch-size", "64", "--set", "held_out=unseen"]
    assert main([*arguments, *quick]) == 0
    fitted = caplog.text
    for heading in ("ndcg@20", "coverage", "pair", "left", "specialisation "):
        assert heading in fitted
    assert not out.with_name("artifact.checkpoint").exists()
    manifest = read_artifact(out).manifest
    assert [record.epoch for record in manifest.training.history] == [1, 2, 3]
    caplog.clear()
    assert main(["evaluate", str(out), "--data", str(tiny_data)]) == 0
    table = caplog.text.split("test part:")[1].strip()
    assert table in fitted
    assert f"{manifest.metrics['test/ndcg@20']:.4f}" in table


def test_fit_replaces_no_other_model_unasked(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    command = ["fit", "--data", str(tiny_data), "--out", str(out), *QUICK]
    assert main(command) == 0
    first = read_artifact(out).manifest
    assert main(command) == 0
    same = read_artifact(out).manifest
    assert (same.model_version != first.model_version, same.tensors) == (True, first.tensors)
    other = [*command, "--set", "seed=1"]
    assert refused(capsys, *other).startswith(
        f"error: {out}: holds {same.model_version}, which was made from other data or with other"
    )
    assert read_artifact(out).manifest == same
    assert main([*other, "--force"]) == 0
    assert read_artifact(out).manifest.training.seed == 1


def test_fit_looks_for_room_before_it_trains(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    out = tmp_path / "there" / "artifact"
    command = ["fit", "--data", str(tiny_data), "--out", str(out), *QUICK]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=50_000))
    assert "has 0.1 MB left, and at least 0.1 MB are needed" in refused(capsys, *command)
    assert list(out.parent.iterdir()) == []


def test_what_has_learnt_from_the_test_part_is_not_measured_on_it(
    artifact_dir: Path, tiny_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = read_artifact(artifact_dir).manifest
    assert manifest.training.held_out == "trained"
    assert main(["evaluate", str(artifact_dir), "--data", str(tiny_data)]) == 0
    said, table = caplog.text.split("test part:\n")
    assert f"{manifest.model_version} has learnt from the test part" in said
    assert f"{manifest.metrics['test/head items/ndcg@20']:.4f}" in table
    dataset = load_dataset(DataConfig(folder=tiny_data))
    evaluation = ArtifactEvaluation.open(artifact_dir, tiny_data)
    flattered = evaluate(evaluation.score, dataset, dataset.test).metrics["ndcg@20"]
    assert flattered > manifest.metrics["test/ndcg@20"]


def test_a_run_that_was_killed_in_its_final_training_goes_on_there(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    data = DataConfig(folder=tiny_data)
    config = TrainingConfig(max_epochs=3, embedding_dim=8, batch_size=64, negatives=16)
    seen: list[int] = []

    def killed(record: EpochRecord) -> None:
        seen.append(record.epoch)
        if len(seen) == 2:
            raise KeyboardInterrupt

    out = tmp_path / "artifact"
    with monkeypatch.context() as patched:
        patched.setattr("training.cli.progress.log_final_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(data, config, out)
        assert not out.exists()
        fit(data, config, out)
    assert seen == [1, 2, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    whole = fit(data, config, tmp_path / "whole")
    assert read_artifact(out).manifest.tensors == whole.tensors


def test_the_served_users_know_what_was_held_out(artifact_dir: Path, tiny_data: Path) -> None:
    artifact = read_artifact(artifact_dir)
    dataset = load_dataset(DataConfig(folder=tiny_data))
    lengths = artifact.tensors["history_lengths"]
    assert lengths.tolist() == dataset.histories.length_U.tolist()
    assert lengths.sum() == dataset.train.nnz + dataset.valid.nnz + dataset.test.nnz
    assert artifact.tensors["item_popularity"].sum() == lengths.sum()
    assert not artifact.tensors["user_embeddings"][59].any()
    offsets = artifact.tensors["seen_offsets"]
    for user in range(60):
        row = artifact.tensors["seen_items"][offsets[user] : offsets[user + 1]]
        assert sorted(row) == sorted(dataset.seen[[user]].indices)
        newest = dataset.histories.item_P[
            dataset.histories.offset_U1[user] : dataset.histories.offset_U1[user + 1]
        ]
        assert row[: lengths[user]].tolist() == newest.tolist()


def test_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "fit", "--data", tmp_path / "nowhere", "--out", tmp_path / "a")
    assert "nowhere" in said
    assert not (tmp_path / "a").exists()


def test_a_wrong_column(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(tiny_data, tmp_path)
    text = (data / "tiny.inter").read_text()
    (data / "tiny.inter").write_text(text.replace("item_id", "thing", 1))
    said = refused(capsys, "fit", "--data", data, "--out", tmp_path / "a")
    assert "tiny.inter" in said
    assert "item_id" in said
    assert "thing" in said


def test_features_that_are_not_finite(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(tiny_data, tmp_path)
    features = np.load(data / "text_feat.npy")
    features[7, 2] = np.nan
    np.save(data / "text_feat.npy", features)
    said = refused(capsys, "fit", "--data", data, "--out", tmp_path / "a")
    assert "text_feat.npy" in said
    assert "7" in said


def test_features_of_other_items(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(tiny_data, tmp_path)
    np.save(data / "text_feat.npy", np.load(data / "text_feat.npy")[:-3])
    said = refused(capsys, "fit", "--data", data, "--out", tmp_path / "a")
    assert "37" in said
    assert "40" in said


def test_an_option_out_of_range(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "fit", "--data", tiny_data, "--out", tmp_path / "a", "--max-epochs", "0")
    assert "--max-epochs" in said
    assert "greater than or equal to 1" in said


def test_an_unknown_device(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(
        capsys, "fit", "--data", tiny_data, "--out", tmp_path / "a", "--device", "toaster"
    )
    assert "use auto, cpu, cuda" in said


def test_fit_does_not_overwrite_what_is_no_artifact(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    said = refused(capsys, "fit", "--data", tiny_data, "--out", tmp_path / "photos", *QUICK)
    assert "not an artifact" in said
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_damaged_artifact(
    artifact_dir: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Path(shutil.copytree(artifact_dir, tmp_path / "damaged"))
    item_bias = np.load(damaged / "item_bias.npy")
    np.save(damaged / "item_bias.npy", item_bias + 1)
    for command in (
        ["evaluate", damaged, "--data", tiny_data],
        ["publish", damaged, "--redis-url", "redis://127.0.0.1:1"],
    ):
        said = refused(capsys, *map(str, command))
        assert "item_bias" in said
        assert "export it again" in said


def test_evaluate_on_other_data(
    artifact_dir: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(tiny_data, tmp_path)
    with (data / "tiny.inter").open("a") as file:
        file.write("u000\ti001\t5\t100\n")
    said = refused(capsys, "evaluate", artifact_dir, "--data", data)
    assert "checksum differs" in said


def test_redis_away(artifact_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "publish", artifact_dir, "--redis-url", "redis://:secret@127.0.0.1:1")
    assert "127.0.0.1:1" in said
    assert "secret" not in said


def test_help_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--min-rating" in said
    assert "goes on where it was" in said


def test_export_takes_what_a_stopped_training_has_and_leaves_it_to_go_on(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    config = TrainingConfig(max_epochs=3, embedding_dim=8, batch_size=64)
    options = ["--data", str(tiny_data), "--out", str(out), "--embedding-dim", "8"]
    options += ["--max-epochs", "3", "--batch-size", "64"]
    assert "there is no training to export" in refused(capsys, "export", *options)

    def stop(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise KeyboardInterrupt

    dataset = load_dataset(DataConfig(folder=tiny_data))
    with pytest.raises(KeyboardInterrupt):
        train(
            dataset,
            config,
            checkpoint=out.with_name("artifact.checkpoint"),
            watch=Watch(on_epoch=stop),
        )
    assert main(["export", *options]) == 0
    exported = read_artifact(out).manifest.training
    assert [record.epoch for record in exported.history] == [1, 2]
    assert main(["fit", *options]) == 0
    finished = read_artifact(out).manifest.training
    assert finished.history[:2] == exported.history
    assert len(finished.history) == 3


def test_evaluate_as_json(
    artifact_dir: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(artifact_dir), "--data", str(tiny_data), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 <= figures["metrics"]["ndcg@20"] <= 1
    assert "tail items" in figures["groups"]
