"""The fit and evaluate jobs: data in, artifact out; artifact in, table out.

Composes data set, trainer, evaluation and export; knows nothing about the command line.
"""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact import Artifact, ArtifactError, read_artifact
from model.contract.manifest import ArtifactManifest
from training.checkpoint import CheckpointError
from training.config import TrainingConfig
from training.dataset import DataConfig, Dataset, load_dataset
from training.evaluation import Evaluation, ScoreFunction, evaluate
from training.export import check_target, export_artifact
from training.histories import fold_in_histories
from training.onnx_head import ParityError, session
from training.progress import EpochLog, metrics_table
from training.trainer import TrainingError, train

log = logging.getLogger(__name__)


class FitError(RuntimeError):
    """A job cannot be done; the message says why and what to do. Nothing was changed."""


def fit(data: DataConfig, config: TrainingConfig, out: Path) -> ArtifactManifest:
    """Train on `data` and write an artifact to `out`, resuming a run that was killed.

    Raises:
        DataError: the data folder cannot be used.
        FitError: training or export failed.
    """
    checkpoint = out.with_name(out.name + ".checkpoint")
    try:
        check_target(out)
        dataset = load_dataset(data)
        log.info(dataset.summary)
        if checkpoint.exists():
            log.info(f"going on from {checkpoint}")
        model = train(dataset, config, checkpoint=checkpoint, on_epoch=EpochLog(config))
        log.info(f"best epoch {model.best_epoch}, specialisation after epoch {model.trigger_epoch}")
        metrics = _flat("valid", evaluate(model.score, dataset, dataset.valid))
        if dataset.test.nnz > 0:
            test = evaluate(model.score, dataset, dataset.test)
            log.info(f"test part:\n{metrics_table(test)}")
            metrics |= _flat("test", test)
        log.info("exporting, and checking ONNX against torch ...")
        manifest = export_artifact(
            out,
            model,
            dataset,
            seed=config.seed,
            settings={
                "data": data.model_dump(mode="json", exclude={"folder"}),
                "training": config.model_dump(),
            },
            metrics=metrics,
        )
    except (TrainingError, CheckpointError, ParityError, FileExistsError) as error:
        raise FitError(str(error)) from error
    checkpoint.unlink(missing_ok=True)
    log.info(f"wrote {out}: model version {manifest.model_version}")
    return manifest


def evaluate_artifact(folder: Path, data: Path) -> Evaluation:
    """Measure an artifact on the test part of the data it was trained on, as it is served.

    Raises:
        DataError: the data folder cannot be used.
        FitError: the artifact is damaged, or was trained on other data.
    """
    try:
        artifact = read_artifact(folder)
    except ArtifactError as error:
        raise FitError(str(error)) from error
    trained_on = artifact.manifest.training
    dataset = load_dataset(DataConfig.model_validate(trained_on.config["data"] | {"folder": data}))
    if dataset.sha256 != trained_on.data_sha256:
        raise FitError(
            f"{folder} was not trained on {data} as it is now (the data's checksum differs), so "
            "its test part may have been trained on: fit again, or name the right folder"
        )
    if dataset.test.nnz == 0:
        raise FitError(f"{data} has no test positives under the split by {dataset.split}")
    log.info(dataset.summary)
    test = evaluate(_held_out_scores(artifact, dataset), dataset, dataset.test)
    log.info(f"{artifact.manifest.model_version}, test part:\n{metrics_table(test)}")
    return test


def _held_out_scores(artifact: Artifact, dataset: Dataset) -> ScoreFunction:
    """Scores of users [B] with every item [B, I] through `head.onnx`.

    Users are folded in from their training histories: the vectors that the artifact serves know
    the held-out parts too.
    """
    head, tensors = session(artifact.files["head.onnx"]), artifact.tensors
    histories = dataset.train_histories.recency_weighted(artifact.manifest.recency_power)

    def score(user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        feeds = {
            "user": fold_in_histories(histories[user_B], tensors["item_foldin"]),
            "item": tensors["item_embeddings"],
            "item_routing": tensors["item_routing"],
            "item_bias": tensors["item_bias"],
        }
        score_BI: NDArray[np.float32] = head.run(["score"], feeds)[0]
        return score_BI

    return score


def _flat(part: str, evaluation: Evaluation) -> dict[str, float]:
    """Metric names of the manifest: `test/recall@20`, `test/tail items/recall@20`."""
    flat = {f"{part}/{name}": value for name, value in evaluation.metrics.items()}
    for group, values in evaluation.groups.items():
        flat |= {f"{part}/{group}/{name}": value for name, value in values.items()}
    return flat
