"""What `fit` does, and the commands `export` and `evaluate`: data in, artifact out, metrics out."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeGuard

import click
import numpy as np
from numpy.typing import NDArray

from model.artifact.files import MANIFEST, ArtifactError, parse_manifest
from model.artifact.manifest import ArtifactManifest
from model.network.config import VIEWS
from training.cli.bars import progress_shown
from training.cli.config import data_options, training_options
from training.cli.options import FOLDER, Command, ray_option
from training.cli.progress import (
    NO_LISTENER,
    Listener,
    metrics_table,
    watched,
    watched_to_the_end,
)
from training.cluster.engine import LOCAL, Engine, engine_at
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.disk import check_room, full_disk_explained
from training.data.tables import DataError, writing
from training.errors import ExplainedError
from training.evaluate.artifact import ArtifactEvaluation
from training.evaluate.closed_forms import references
from training.evaluate.protocol import Evaluation, evaluate, measure, unflattened
from training.export.artifact import check_target, export_artifact
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes
from training.fit.early import EarlyModel
from training.fit.final_model import train_on_all
from training.fit.trained_model import TrainedModel
from training.fit.trainer import best_so_far, train

log = logging.getLogger(__name__)
_FLOAT_BYTES = 4
_LONGEST_LIST = 20
"""Items of a list that is measured."""
_TOGETHER = 512
"""Users whose items are ranked at once."""
_CHECKPOINT_COPIES = 2 * 5
"""Copies of the parameters in two checkpoints: current, average, best, and Adam's moments."""


class FitError(ExplainedError):
    """A job cannot be done; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What `fit` writes besides the finished model, and what it may replace."""

    on_early: Callable[[Path], object] | None = None
    """Called with `out` whenever an early model has been written there. None: early models are not
    written. They take no finished one's place."""
    force: bool = False
    """Replace a model that was made from other data or settings."""


FINISHED_ONLY = Outputs()


def fit(
    data: DataConfig,
    config: TrainingConfig,
    out: Path,
    processes: Processes = ALONE,
    outputs: Outputs = FINISHED_ONLY,
    listener: Listener = NO_LISTENER,
) -> ArtifactManifest:
    """Train on `data` and write an artifact to `out`, resuming a run that was killed.

    With several processes the leader calls this and the others `assist`.

    Args:
        data: the folder and how it is read.
        config: hyperparameters.
        out: the artifact's folder.
        processes: all that train together.
        outputs: early models, and what may be replaced.
        listener: who is told how it goes.

    Raises:
        DataError: the data folder cannot be used, or `out` is something else, or cannot be written.
        DiskFullError: there is no room for the model or its checkpoint.
        TrainingError: training cannot go on.
        CheckpointError: the checkpoint is damaged, or of other data or settings.
        ParityError: ONNX does not compute what torch does.
        ProcessesError: one of the processes has ended, or cannot work with the others.
    """
    check_target(out)
    listener.step("load")
    dataset = load_dataset(data)
    log.info(dataset.summary)
    listener.data(dataset, config)
    job = _Job(dataset=dataset, data=data, config=config, out=out, listener=listener)
    job.check_out(outputs.force)
    with full_disk_explained(out.parent, "make room and run it again, or choose another --out"):
        return _fitted(job, processes, outputs.on_early)


def _fitted(
    job: "_Job", processes: Processes, on_early: Callable[[Path], object] | None
) -> ArtifactManifest:
    dataset, config, out, listener = job.dataset, job.config, job.out, job.listener
    checkpoint, final_checkpoint = _checkpoint(out), _checkpoint(out, ".final")
    if checkpoint.exists():
        log.info(f"going on from {checkpoint}")
    else:
        final_checkpoint.unlink(missing_ok=True)  # of a run that was given up
    if on_early is not None and (standing := job.finished_before):
        log.info(
            f"no early models are written: {out} holds {standing}, whose training was finished; "
            "it stays until this one is"
        )
        on_early = None
    on_better = None if on_early is None else partial(job.hand_over, on_early)
    listener.step("train")
    log.info("computing the graphs" + ("" if on_early is None else " and a first, early model"))
    with watched(config, listener) as watch:
        watch = replace(watch, on_better=on_better)
        found = train(dataset, config, checkpoint=checkpoint, watch=watch, processes=processes)
    listener.step("evaluate")
    parts = job.measure(found)
    if config.held_out != "unseen":
        log.info(
            "the model without the held-out parts is measured, the served one learns from them"
        )
    if on_early is not None and config.held_out == "trained":
        job.write_early(on_early, replace(found, early=True), parts)
    served = train_on_all(
        dataset,
        config,
        found,
        checkpoint=final_checkpoint,
        watch=watched_to_the_end(config, found, listener),
        processes=processes,
    )
    listener.step("export")
    log.info("exporting, and checking ONNX against torch ...")
    manifest = job.write(served, parts)
    for path in (checkpoint, final_checkpoint):
        path.unlink(missing_ok=True)
    return manifest


def export(data: DataConfig, config: TrainingConfig, out: Path) -> ArtifactManifest:
    """Write an artifact of the best epoch so far of a run that was stopped, or still goes on.

    The run can go on afterwards: its checkpoint stays. Errors are those of `fit`, and FitError if
    there is no such run.
    """
    check_target(out)
    checkpoint = _checkpoint(out)
    if not checkpoint.exists():
        raise FitError(
            f"{checkpoint}: there is no training to export; `fit` with the same --data and --out "
            "saves one after each epoch, and exports by itself when it ends"
        )
    dataset = load_dataset(data)
    log.info(dataset.summary)
    job = _Job(dataset=dataset, data=data, config=config, out=out)
    model = best_so_far(dataset, config, checkpoint)
    return job.write(model, job.measure(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is trained, and where its models are written."""

    dataset: Dataset
    data: DataConfig
    config: TrainingConfig
    out: Path
    listener: Listener = NO_LISTENER

    @property
    def finished_before(self) -> str | None:
        """The version that stands at `out`, if its training was finished."""
        standing = self._standing()
        return None if standing is None or standing.training.early else standing.model_version

    def check_out(self, force: bool) -> None:
        """See that the model can be written, and replaces no other one but by `force`.

        Raises:
            DataError: `out` holds a model of other data or settings, or cannot be written.
            DiskFullError: there is no room.
        """
        out, standing = self.out, self._standing()
        if (out / MANIFEST).exists() and not force and not self._has_made(standing):
            name = "a model that cannot be read" if standing is None else standing.model_version
            raise DataError(
                out,
                f"holds {name}, which was made from other data or with other settings",
                "choose another --out, or replace it with --force",
            )
        with writing(out, "choose another --out"):
            check_room(out.parent, self._least_bytes)

    @property
    def _least_bytes(self) -> int:
        """Size of checkpoints and an artifact's embeddings, which are most of what is written."""
        users, items = len(self.dataset.user_ids), len(self.dataset.item_ids)
        modalities = 1 + len(self.dataset.features)
        of_checkpoints = _CHECKPOINT_COPIES * (users + items)
        of_artifact = len(VIEWS) * modalities * (users + 2 * items)
        return _FLOAT_BYTES * self.config.embedding_dim * (of_checkpoints + of_artifact)

    def measure(self, found: TrainedModel) -> dict[str, Evaluation]:
        """The model that validation has chosen on the held-out parts, and baselines beside it."""
        dataset = self.dataset
        began = found.trigger_epoch
        when = "did not begin" if began is None else f"after epoch {began}"
        log.info(f"best epoch {found.best_epoch}, specialisation {when}")
        parts = {"valid": evaluate(found.score, dataset, dataset.valid)}
        if dataset.test.nnz > 0:
            parts["test"] = evaluate(found.score, dataset, dataset.test)
            log.info(f"test part:\n{metrics_table(parts['test'].flat())}")
        targets = {"valid": dataset.valid, "test": dataset.test}
        return parts | references(dataset, {name: targets[name] for name in parts})

    def hand_over(self, on_early: Callable[[Path], object], early: EarlyModel) -> None:
        """Say how good an early model is, and write it."""
        ndcg, popular = (x.metrics["ndcg@20"] for x in (early.valid, early.popular))
        log.info(
            f"early model after {early.seconds:.0f} s, {early.model.best_epoch or 'no'} epochs: "
            f"validation NDCG@20 {ndcg:.4f}, the most popular items reach {popular:.4f}"
        )
        parts = {"valid": early.valid, "baseline/popularity/valid": early.popular}
        self.write_early(on_early, early.model, parts)

    def write_early(
        self,
        on_early: Callable[[Path], object],
        model: TrainedModel,
        parts: dict[str, Evaluation],
    ) -> None:
        """Write an early model and tell of it. Training goes on, whatever fails."""
        try:
            if not self._has_written(model):
                self.write(model, parts)
            on_early(self.out)
        except (ExplainedError, ArtifactError, OSError) as error:
            log.warning(f"training goes on without handing this model over: {error}")

    def _has_written(self, model: TrainedModel) -> bool:
        """Whether `out` holds this model already, from before this training was resumed."""
        standing = self._standing()
        return self._has_made(standing) and standing.training.best_epoch == model.best_epoch

    def _has_made(self, standing: ArtifactManifest | None) -> TypeGuard[ArtifactManifest]:
        """Whether a model was made from these data with these settings."""
        record = standing and standing.training
        made_from = record and (record.data_sha256, record.config)
        return made_from == (self.dataset.sha256, self._settings)

    def _standing(self) -> ArtifactManifest | None:
        """What `out` holds, if it can be read."""
        path = self.out / MANIFEST
        try:
            return parse_manifest(path.read_bytes(), str(path))
        except (OSError, ArtifactError):
            return None

    @property
    def _settings(self) -> dict[str, dict[str, object]]:
        return {
            "data": self.data.model_dump(mode="json", exclude={"folder"}),
            "training": self.config.model_dump(mode="json"),
        }

    def write(self, model: TrainedModel, parts: dict[str, Evaluation]) -> ArtifactManifest:
        """Export a model with what was measured."""
        manifest = export_artifact(
            self.out,
            model,
            self.dataset,
            seed=self.config.seed,
            settings=self._settings,
            metrics={
                f"{part}/{name}": x for part, y in parts.items() for name, x in y.flat().items()
            },
        )
        log.info(f"wrote {self.out}: model version {manifest.model_version}")
        self.listener.model(manifest)
        return manifest


def _checkpoint(out: Path, which: str = "") -> Path:
    return out.with_name(f"{out.name}{which}.checkpoint")


def assist(data: DataConfig, config: TrainingConfig, processes: Processes) -> None:
    """Take a share of a `fit` that another process leads; nothing is written.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: training cannot go on, see `train`.
        ProcessesError: one of the processes has ended, or cannot work with the others.
    """
    dataset = load_dataset(data)
    found = train(dataset, config, processes=processes)
    train_on_all(dataset, config, found, processes=processes)


def evaluate_artifact(folder: Path, data: Path, engine: Engine = LOCAL) -> dict[str, float]:
    """An artifact's metrics on the test part of the data it was trained on, by flat name.

    Measured as it is served. If it knows the test part by now, what was measured before that is
    taken from its manifest.

    Args:
        folder: of the artifact.
        data: what it was trained on.
        engine: who ranks the items.

    Raises:
        DataError: the data cannot be used, or are not what the artifact was trained on.
        FitError: the artifact is damaged, or there is nothing to test on.
    """
    try:
        known = ArtifactEvaluation.open(folder, data)
    except ArtifactError as error:
        raise FitError(str(error)) from error
    dataset = known.dataset
    if dataset.test.nnz == 0:
        raise FitError(f"{data} has no test positives under the split by {dataset.split}")
    log.info(dataset.summary)
    manifest = known.artifact.manifest
    version, held_out = manifest.model_version, manifest.training.held_out
    if held_out == "unseen":
        test = measure(_ranked(known, engine), dataset, dataset.test).flat()
        log.info(f"{version}, test part:\n{metrics_table(test)}")
        return test
    recorded = {
        name.removeprefix("test/"): value
        for name, value in manifest.metrics.items()
        if name.startswith("test/")
    }
    log.info(
        f"{version} has learnt from the test part (held_out={held_out}), so what it reaches there "
        "now says nothing; its manifest has the figures of the model before that, test part:\n"
        f"{metrics_table(recorded)}"
    )
    return recorded


def _ranked(known: ArtifactEvaluation, engine: Engine) -> NDArray[np.int64]:
    """The lists of all users with test positives [U, K], best item first."""
    users = np.flatnonzero(np.diff(known.dataset.test.indptr))
    k = min(_LONGEST_LIST, len(known.dataset.item_ids))
    top_UK = np.empty((len(users), k), dtype=np.int64)
    parts = [users[start : start + _TOGETHER] for start in range(0, len(users), _TOGETHER)]
    with progress_shown("evaluating", len(users), "evaluated") as show:
        done = 0
        for user_B, top_BK in engine.each(partial(known.best, k=k), parts):
            top_UK[np.searchsorted(users, user_B)] = top_BK
            done += len(user_B)
            show(done, "")
    return top_UK


@click.command("export", cls=Command)
@data_options
@click.option("--out", type=FOLDER, required=True, help="the --out of its `fit`")
@training_options
def export_command(data: DataConfig, config: TrainingConfig, out: Path) -> None:
    """Write an artifact of a training that was stopped or still goes on, without training further.

    It holds the best epoch so far. Data and options are those of its `fit`, which exports by itself
    when it ends; it can go on afterwards.
    """
    export(data, config, out)


@click.command("evaluate")
@click.argument("artifact", type=FOLDER, help="an artifact folder")
@click.option("--data", type=FOLDER, required=True, help="the folder it was trained on")
@click.option("--json", "as_json", is_flag=True, help="print all metrics as JSON")
@ray_option
def evaluate_command(artifact: Path, data: Path, as_json: bool, address: str | None) -> None:
    """Print an artifact's metrics on the test part, by group.

    If it has not seen the test part (`fit --set held_out=unseen`), all items are ranked for every
    test user as the service does: scores come from head.onnx, training items are left out, and the
    data are split as they were for training. If it has learnt from the test part, the figures are
    those of its manifest, measured before that.
    """
    with engine_at(address) as engine:
        groups = unflattened(evaluate_artifact(artifact, data, engine))
    if as_json:
        figures = {"metrics": groups.pop(""), "groups": groups}
        click.echo(json.dumps(figures, indent=1))
