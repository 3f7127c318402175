"""One retraining from start to end, step by step; each leaves the state folder and Redis whole.

Knows the order of the steps; the steps are in the other modules. Killed before any of them, the
live version serves on, no event is lost, and the next run clears up.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from model.artifact.files import ArtifactError, read_artifact
from training.cli.progress import metrics_table
from training.data.dataset import Dataset, load_dataset
from training.data.files import peak_mb, reset_peak, write_durably
from training.evaluate.protocol import Evaluation
from training.export.artifact import export_artifact
from training.export.onnx import ParityError
from training.feedback.log import EventLog
from training.feedback.stream import drain
from training.publish import PublishError, PublishPolicy
from training.retrain.candidate import (
    Measured,
    Trained,
    changed_lists,
    measure_all,
    train_challenger,
    utilisation,
    with_everything,
)
from training.retrain.incumbent import Champion, SavedWeights, find_champion
from training.retrain.ledger import Ledger, Result, RunRecord, flat_metrics, settle
from training.retrain.report import render
from training.retrain.rules import Rule, judge
from training.retrain.runs import RunFolder, Runs, full_disk_explained
from training.retrain.settings import RetrainConfig
from training.retrain.training_set import Assembled, assemble, inputs_digest

log = logging.getLogger(__name__)

_WAIT_FOR_PUBLISHER_SECONDS = 60.0
"""Somebody may be publishing by hand."""


def retrain(config: RetrainConfig) -> RunRecord:
    """One retraining; the record says what came of it.

    Raises:
        LockHeldError: another one is running.
        PublishError: Redis cannot be used, or the lock was lost.
        DataError: the data folder cannot be used.
        EventLogError: the event log cannot be written or read.
        TrainingError: the model cannot be trained.
        DiskFullError: there is no room for the event log, the run or its model.
    """
    with (
        Ledger.open(config.redis_url, config.namespace, config.lock_seconds) as ledger,
        full_disk_explained(config.state),
    ):
        runs = Runs(config.state)
        try:
            runs.clean(config.keep_runs, ledger.named(), ledger.canary_version())
            folder, record = runs.begin(config.namespace)
        except OSError as error:
            record = runs.new_record(config.namespace)
            record.end("failed", f"before the first step: {error!r}")
            with suppress(PublishError):
                ledger.announce(record)
            raise
        try:
            return Retraining(config=config, ledger=ledger, folder=folder, record=record).run()
        finally:
            runs.clean(config.keep_runs, ledger.named(), ledger.canary_version())


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One run that holds the lock."""

    config: RetrainConfig
    ledger: Ledger
    folder: RunFolder
    record: RunRecord

    def run(self) -> RunRecord:
        """Do it; whatever goes wrong is recorded before it is raised."""
        reset_peak()
        try:
            self._run()
        except BaseException as error:
            self._fail(error)
            raise
        return self.record

    def _run(self) -> None:
        config, record = self.config, self.record
        with self._step("drain"):
            events = self._take_over()
        with self._step("canary"):
            settled = settle(self.ledger, config.canary)
            record.last_promoted_at = settled.promoted_at or record.last_promoted_at
        if settled.wait:
            self._end("unchanged", settled.wait)
            return
        with self._step("assemble"):
            assembled = assemble(
                config.data, events.read(), config.events.weights, self.folder.data
            )
            champion = find_champion(Runs(config.state), self.ledger.live(), assembled.tested_from)
            self._note(assembled, champion, events)
        nothing_new = champion.nothing_new(
            record.inputs, record.new_events, config.gate.min_new_events
        )
        if nothing_new:
            self._end("unchanged", nothing_new)
            return
        with self._step("load"):
            data = assembled.config.model_copy(
                update={"modalities": config.data.modalities, "seed": config.training.seed}
            )
            dataset = load_dataset(data)
            log.info(dataset.summary)
        with self._step("train"):
            trained = train_challenger(dataset, config, champion)
            record.warm = trained.warm
            record.comparable = trained.why_cold
            record.history = list(trained.model.history)
            record.experts = [x.name for x in trained.model.magnet.head.templates.experts]
            record.best_epoch = trained.model.best_epoch
            record.trigger_epoch = trained.model.trigger_epoch
        with self._step("evaluate"):
            measured = measure_all(dataset, trained.model, champion)
            self._note_metrics(measured)
            record.changed = changed_lists(measured, dataset)
        with self._step("export"):
            rules = self._export(dataset, assembled, trained, measured)
        with self._step("gate"):
            record.rules = rules
            broken = [rule for rule in rules if not rule.passed]
            for rule in rules:
                log.info(f"{'passed ' if rule.passed else 'REFUSED'}  {rule.name}: {rule.text}")
        if broken:
            self._end("refused", "; ".join(f"{rule.name}: {rule.text}" for rule in broken))
            return
        with self._step("publish"):
            self.ledger.publish(
                self.folder.artifact,
                PublishPolicy(
                    keep=config.keep_versions,
                    wait_seconds=_WAIT_FOR_PUBLISHER_SECONDS,
                    canary_share=config.canary.share or None,
                ),
            )
            record.live = self.ledger.live() == record.version
            is_canary = self.ledger.canary_version() == record.version
        if is_canary:
            share = f"{config.canary.share:.1%} of the users"
            self._end("canary", f"{record.version} passed all rules and serves {share}")
            return
        pinned = "" if record.live else "; another version is pinned and stays live"
        self._end("promoted", f"{record.version} passed all rules{pinned}")

    def _take_over(self) -> EventLog:
        """Stream to log; the log within its limits."""
        settings = self.config.events
        events = EventLog(self.config.state / "events")
        drained = drain(self.ledger.stream(), events)
        today = datetime.now(UTC).date()
        with events.writing() as writer:
            expired = writer.expire(
                keep_days=settings.keep_days, keep_mb=settings.keep_mb, today=today
            )
            writer.compact(before=today)
        self.record.data |= {
            "events drained": drained.events,
            "events known already": drained.duplicates,
            "entries rejected": drained.rejected,
            "events expired": expired.events,
        }
        self.record.rejected = dict(drained.reasons)
        log.info(
            f"{drained.events} new events, {drained.duplicates} known already, "
            f"{drained.rejected} rejected, {expired.events} expired"
        )
        return events

    def _note(self, assembled: Assembled, champion: Champion, events: EventLog) -> None:
        record = self.record
        record.champion = champion.version
        record.comparable = champion.why_not
        record.events = assembled.events
        record.newest_event = events.newest()
        record.new_events = events.count_since(champion.newest_event)
        record.inputs = inputs_digest(self.config)
        record.rejected |= assembled.rejected
        record.density = assembled.density
        record.data |= {
            "pairs of the data folder": assembled.base_pairs,
            "events that count": assembled.counted,
            "pairs": assembled.pairs,
            "positives": assembled.positives,
            "users": assembled.users,
            "items": assembled.items,
            "new users": assembled.new_users,
            "new items": assembled.new_items,
        }
        log.info(
            f"{assembled.pairs} pairs, {assembled.positives} positives, of {assembled.base_pairs} "
            f"pairs and {assembled.events} events ({record.new_events} of them new)"
        )

    def _note_metrics(self, measured: Measured) -> None:
        for name in ("challenger", "champion", "popular"):
            evaluation: Evaluation | None = getattr(measured, name)
            if evaluation is not None:
                self.record.metrics[name] = flat_metrics(evaluation)
        log.info(f"on the newest tenth of the positives:\n{metrics_table(measured.challenger)}")

    def _export(
        self, dataset: Dataset, assembled: Assembled, trained: Trained, measured: Measured
    ) -> list[Rule]:
        """Write artifact and weights; every rule of the gate."""
        record, config = self.record, self.config
        model, everything = with_everything(trained.model, dataset)
        try:
            manifest = export_artifact(
                self.folder.artifact,
                model,
                everything,
                seed=config.training.seed,
                settings={
                    "data": assembled.config.model_dump(mode="json", exclude={"folder"}),
                    "training": config.training.model_dump(),
                    "retraining": {"run_id": record.run_id, "champion": record.champion},
                },
                metrics={f"test/{name}": x for name, x in record.metrics["challenger"].items()},
            )
            read_artifact(self.folder.artifact)
        except (ParityError, ArtifactError) as error:
            return [Rule(name="loads as it was trained", passed=False, text=str(error))]
        SavedWeights.of(trained.model, dataset, assembled.trained_until).save(self.folder.weights)
        record.version = manifest.model_version
        return [
            Rule(
                name="loads as it was trained",
                passed=True,
                text="ONNX computes what torch does, all checksums agree",
            ),
            *judge(
                config.gate,
                measured.challenger,
                measured.champion,
                measured.popular,
                utilisation(manifest),
            ),
        ]

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Note where we are before doing it, and how long it took; the lock must still be ours."""
        self.ledger.check_lock()
        self.record.step = name
        self.folder.write(self.record)
        log.info(f"{name} ...")
        started = time.monotonic()
        yield
        self.record.seconds[name] = round(time.monotonic() - started, 3)

    def _end(self, result: Result, reason: str) -> None:
        """The record goes to the disk, then to Redis."""
        self._conclude(result, reason)
        self.ledger.announce(self.record)

    def _fail(self, error: BaseException) -> None:
        """The record goes wherever it still can: the trouble may be the disk's, or Redis's."""
        if self.record.version is None:
            self.folder.drop_model()  # half a model, which may be what has filled the disk
        with suppress(OSError):
            self._conclude("failed", f"in the step {self.record.step!r}: {error!r}")
        with suppress(PublishError):
            self.ledger.announce(self.record)

    def _conclude(self, result: Result, reason: str) -> None:
        """Note what came of it, and put record and report onto the disk."""
        record = self.record
        record.peak_mb = peak_mb()
        record.end(result, reason)
        page = render(record)
        write_durably(self.folder.report, lambda path: path.write_text(page, encoding="utf-8"))
        self.folder.write(record)
