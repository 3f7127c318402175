"""The fit and evaluate jobs: data in, artifact out; artifact in, table out.

Composes data set, trainer, evaluation and export; knows nothing about the command line.
"""

import logging
from pathlib import Path

from model.contract.artifact import ArtifactError
from model.contract.manifest import ArtifactManifest
from training.checkpoint import CheckpointError
from training.config import TrainingConfig
from training.dataset import DataConfig, load_dataset
from training.evaluation import Evaluation, evaluate
from training.explained import ExplainedError
from training.export import check_target, export_artifact
from training.held_out import HeldOut
from training.onnx_head import ParityError
from training.processes import ALONE, Processes
from training.progress import epochs_shown, metrics_table
from training.trainer import TrainingError, train

log = logging.getLogger(__name__)


class FitError(ExplainedError):
    """A job cannot be done; the message says why and what to do. Nothing was changed."""


def fit(
    data: DataConfig, config: TrainingConfig, out: Path, processes: Processes = ALONE
) -> ArtifactManifest:
    """Train on `data` and write an artifact to `out`, resuming a run that was killed.

    With several processes the leader calls this and the others `assist`.

    Raises:
        DataError: the data folder cannot be used.
        FitError: training or export failed.
        ProcessesError: one of the processes has ended, or cannot work with the others.
    """
    checkpoint = out.with_name(out.name + ".checkpoint")
    try:
        check_target(out)
        dataset = load_dataset(data)
        log.info(dataset.summary)
        if checkpoint.exists():
            log.info(f"going on from {checkpoint}")
        with epochs_shown(config) as on_epoch:
            model = train(
                dataset, config, checkpoint=checkpoint, on_epoch=on_epoch, processes=processes
            )
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


def assist(data: DataConfig, config: TrainingConfig, processes: Processes) -> None:
    """Take a share of a `fit` that another process leads; nothing is written.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: training cannot go on, see `train`.
        ProcessesError: one of the processes has ended, or cannot work with the others.
    """
    train(load_dataset(data), config, processes=processes)


def evaluate_artifact(folder: Path, data: Path) -> Evaluation:
    """Measure an artifact on the test part of the data it was trained on, as it is served.

    Raises:
        DataError: the data cannot be used, or are not what the artifact was trained on.
        FitError: the artifact is damaged, or there is nothing to test on.
    """
    try:
        held_out = HeldOut.open(folder, data)
    except ArtifactError as error:
        raise FitError(str(error)) from error
    dataset = held_out.dataset
    if dataset.test.nnz == 0:
        raise FitError(f"{data} has no test positives under the split by {dataset.split}")
    log.info(dataset.summary)
    test = evaluate(held_out.score, dataset, dataset.test)
    log.info(f"{held_out.artifact.manifest.model_version}, test part:\n{metrics_table(test)}")
    return test


def _flat(part: str, evaluation: Evaluation) -> dict[str, float]:
    """Metric names of the manifest: `test/recall@20`, `test/tail items/recall@20`."""
    flat = {f"{part}/{name}": value for name, value in evaluation.metrics.items()}
    for group, values in evaluation.groups.items():
        flat |= {f"{part}/{group}/{name}": value for name, value in values.items()}
    return flat
