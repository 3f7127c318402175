"""One retraining from start to end; every step leaves the state folder and Redis whole.

If it is killed at any step, the live version keeps serving, no event is lost, and the next run
clears up.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from model.artifact.files import ArtifactError, read_artifact
from model.registry.items import ItemRecord
from model.tracing.spans import part
from training.cli.progress import metrics_table
from training.data.dataset import Dataset, load_dataset
from training.data.disk import full_disk_explained
from training.data.files import peak_mb, reset_peak, write_durably
from training.evaluate.closed_forms import references
from training.evaluate.protocol import Evaluation
from training.export.artifact import export_artifact
from training.export.onnx import ParityError
from training.feedback.log import EventLog
from training.feedback.stream import drain, erase_from_log
from training.fit.trained_model import TrainedModel
from training.publish import PublishError, PublishPolicy
from training.publish.erasures import ids_of, rewrite_versions
from training.publish.progress import Reporter
from training.retrain.candidate import (
    Candidate,
    changed_lists,
    measure_all,
    train_candidate,
    train_candidate_at,
    utilisation,
)
from training.retrain.erasure import erase_from_data, erase_from_runs
from training.retrain.live_model import LiveModel, SavedWeights, find_live_model
from training.retrain.report import render
from training.retrain.rules import Rule, judge, verdict
from training.retrain.runs import (
    Result,
    RunFolder,
    RunRecord,
    Runs,
    flat_metrics,
)
from training.retrain.session import RetrainSession
from training.retrain.settings import RetrainConfig
from training.retrain.training_set import Assembled, assemble, inputs_digest

log = logging.getLogger(__name__)

_WAIT_FOR_PUBLISHER_SECONDS = 60.0
"""Someone may be publishing by hand."""
_MAKE_ROOM = (
    "nothing live was changed and no event is lost: make room, then run it again "
    "(docs/operations.md says what may go)"
)
_ON_ITS_WAY = timedelta(minutes=1)
"""So long before the drain an event may have been received that was not in the stream yet: a call
takes seconds, and clocks differ."""


def retrain(config: RetrainConfig, ray_address: str | None = None) -> RunRecord:
    """One retraining; the record says what came of it.

    Args:
        config: what to train on, and where the models go.
        ray_address: of the Ray cluster that trains; None to train here.

    Raises:
        LockHeldError: another one is running.
        PublishError: Redis cannot be used, or the lock was lost.
        DataError: the data folder cannot be used.
        EventLogError: the event log cannot be written or read, or the namespace is another's.
        TrainingError: the model cannot be trained.
        DiskFullError: there is no room for the event log, the run or its model.
    """
    with (
        RetrainSession.open(config.redis_url, config.namespace, config.lock_seconds) as session,
        full_disk_explained(config.state, _MAKE_ROOM),
    ):
        runs = Runs(config.state)
        try:
            with EventLog(config.state / "events").writing() as writer:
                session.stream.check_owner(writer.owner())
            _clean(runs, session, config)
            folder, record = runs.begin(config.namespace)
        except OSError as error:
            record = runs.new_record(config.namespace)
            record.end("failed", f"before the first step: {error!r}")
            with suppress(PublishError):
                session.announce(record)
            raise
        try:
            with Reporter.open(
                config.redis_url, config.namespace, record.run_id, "retraining"
            ) as reporter:
                return Retraining(
                    config=config,
                    session=session,
                    folder=folder,
                    record=record,
                    reporter=reporter,
                    ray_address=ray_address,
                ).run()
        finally:
            _clean(runs, session, config)


def _clean(runs: Runs, session: RetrainSession, config: RetrainConfig) -> None:
    versions = session.registry.state()
    runs.clean(config.keep_runs, versions.in_a_role, versions.roles["canary"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One run that holds the lock."""

    config: RetrainConfig
    session: RetrainSession
    folder: RunFolder
    record: RunRecord
    reporter: Reporter
    ray_address: str | None = None
    """Address of the Ray cluster that trains; None to train here."""

    def run(self) -> RunRecord:
        """Run all steps; an error is recorded before it is raised."""
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
        with self._step("erase"):
            erasures = self._erase(events)
        with self._step("canary"):
            wait = self._settle_canary()
        if wait is not None:
            return self._end("unchanged", wait)
        with self._step("assemble"):
            items_until = datetime.now(UTC) - _ON_ITS_WAY
            items = self.session.items()
            assembled = assemble(config.data, events.read(), config.events, self.folder.data, items)
            live = find_live_model(
                Runs(config.state), self.session.registry.state().live, assembled.tested_from
            )
            self._note_data(assembled, live, events, items)
        needed = config.gate.min_new_events
        if nothing_new := live.nothing_new(record.inputs, record.new_events, needed):
            return self._end("unchanged", nothing_new)
        with self._step("load"):
            data = assembled.config.model_copy(
                update={"modalities": config.data.modalities, "seed": config.training.seed}
            )
            dataset = replace(load_dataset(data), items_until=items_until)
            log.info(dataset.summary)
            self.reporter.data(dataset, config.training)
        with self._step("train"):
            candidate = self._train(dataset, live)
            model, record.comparable = candidate.model, candidate.why_cold
            served = replace(candidate.served, events_until=record.events_until, erasures=erasures)
            record.warm = not record.comparable
            record.history = list(model.history)
            record.experts = [x.name for x in model.magnet.head.templates.experts]
            record.best_epoch = model.best_epoch
            record.trigger_epoch = model.trigger_epoch
        with self._step("evaluate"):
            measured = measure_all(dataset, model, live)
            self._note_metrics(measured)
            record.changed = changed_lists(measured, dataset)
        with self._step("export"):
            rules = self._export(dataset, assembled, model, served, measured)
        with self._step("gate"):
            record.rules = rules
            broken = [rule for rule in rules if not rule.passed]
            for rule in rules:
                log.info(f"{'passed ' if rule.passed else 'REFUSED'}  {rule.name}: {rule.text}")
        if broken:
            return self._end("refused", "; ".join(f"{rule.name}: {rule.text}" for rule in broken))
        self._publish()
        return None

    def _train(self, dataset: Dataset, live: LiveModel) -> Candidate:
        if self.ray_address is None:
            return train_candidate(dataset, self.config, live, self.reporter)
        folder = self.folder.data.resolve()
        return train_candidate_at(self.ray_address, dataset, self.config, live, folder)

    def _publish(self) -> None:
        config, record = self.config, self.record
        with self._step("publish"):
            policy = PublishPolicy(
                keep=config.keep_versions,
                wait_seconds=_WAIT_FOR_PUBLISHER_SECONDS,
                canary_share=config.canary.share or None,
            )
            self.session.publish(self.folder.artifact, policy)
            versions = self.session.registry.state()
            record.live = versions.live == record.version
            is_canary = versions.roles["canary"] == record.version
        if is_canary:
            share = f"{config.canary.share:.1%} of the users"
            self._end("canary", f"{record.version} passed all rules and serves {share}")
        else:
            pinned = "" if record.live else "; another version is pinned and stays live"
            self._end("promoted", f"{record.version} passed all rules{pinned}")

    def _take_over(self) -> EventLog:
        """Drain the stream into the log, and keep the log within its limits."""
        settings = self.config.events
        events = EventLog(self.config.state / "events")
        self.record.events_until = datetime.now(UTC) - _ON_ITS_WAY
        drained = drain(self.session.stream, events)
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

    def _erase(self, events: EventLog) -> int:
        """Take users who are to be forgotten out of all that is kept; the latest one's number."""
        session, records = self.session, self.session.erasures
        known = records.all()
        number = max((each.number for each in known), default=0)
        waiting = [each for each in known if each.waiting]
        if waiting:
            user_ids = ids_of(waiting)
            erase_from_log(session.client, session.keys, events)
            erase_from_data(self.config.data.folder, user_ids)
            records.mark("data", waiting)
            erase_from_runs(Runs(self.config.state), user_ids, number)
            records.mark("artifacts", waiting)
            rewrite_versions(session.client, session.keys, user_ids, number, session.lock)
            records.mark("redis", waiting)
            log.info(f"{len(waiting)} users are erased")
        records.drop_outdated()
        self.record.data["users erased"] = len(waiting)
        return number

    def _settle_canary(self) -> str | None:
        """Promote a canary that has held for long enough; why this run must wait, or None."""
        registry, now = self.session.registry, datetime.now(UTC)
        versions = registry.state()
        canary, answers = versions.running, versions.canary_answers
        if canary is None:
            return None
        wait = verdict(canary, answers, now, self.config.canary, registry.experiment(canary))
        if (
            wait is None
            and registry.apply(
                lambda state: state.promote_canary(canary, now), self.session.lock
            ).happened
        ):
            log.info(f"the canary {canary.version} has held for {answers} answers and is live")
            self.record.last_promoted_at = now
        return wait

    def _note_data(
        self,
        assembled: Assembled,
        live: LiveModel,
        events: EventLog,
        items: Sequence[ItemRecord],
    ) -> None:
        record = self.record
        record.champion = live.version
        record.comparable = live.why_not
        record.events = assembled.events
        record.newest_event = events.newest()
        record.new_events = events.count_since(live.newest_event)
        record.inputs = inputs_digest(self.config, items)
        record.rejected |= assembled.rejected
        record.capped_users, record.capped_items = assembled.capped_users, assembled.capped_items
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
            "items put": len(items),
        }
        log.info(
            f"{assembled.pairs} pairs, {assembled.positives} positives, of {assembled.base_pairs} "
            f"pairs and {assembled.events} events ({record.new_events} of them new)"
        )
        for line in assembled.left_out:
            log.warning(line)

    def _note_metrics(self, measured: Mapping[str, Evaluation]) -> None:
        self.record.metrics |= {name: flat_metrics(found) for name, found in measured.items()}
        table = metrics_table(measured["challenger"].flat())
        log.info(f"on the newest tenth of the positives:\n{table}")

    def _export(
        self,
        dataset: Dataset,
        assembled: Assembled,
        model: TrainedModel,
        served: TrainedModel,
        measured: Mapping[str, Evaluation],
    ) -> list[Rule]:
        """Write what is served, and the weights of the model that was measured; judge by all rules.

        The next run compares and starts with those weights: they have not seen what tests them.
        """
        record, config = self.record, self.config
        try:
            manifest = export_artifact(
                self.folder.artifact,
                served,
                dataset,
                seed=config.training.seed,
                settings={
                    "data": assembled.config.model_dump(mode="json", exclude={"folder"}),
                    "training": config.training.model_dump(),
                    "retraining": {"run_id": record.run_id, "champion": record.champion},
                },
                metrics={f"test/{name}": x for name, x in record.metrics["challenger"].items()}
                | {
                    f"{part}/{name}": x
                    for part, found in references(dataset, {"test": dataset.test}).items()
                    for name, x in flat_metrics(found).items()
                },
            )
            read_artifact(self.folder.artifact)
        except (ParityError, ArtifactError) as error:
            return [Rule(name="loads as it was trained", passed=False, text=str(error))]
        SavedWeights.of(model, dataset, assembled.trained_until).save(self.folder.weights)
        record.version = manifest.model_version
        self.reporter.model(manifest)
        return [
            Rule(
                name="loads as it was trained",
                passed=True,
                text="ONNX computes what torch does, all checksums agree",
            ),
            *judge(
                config.gate,
                measured["challenger"],
                measured.get("champion"),
                measured["popular"],
                utilisation(manifest),
            ),
        ]

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Record the step before it begins, and how long it took; the lock must still be ours."""
        with self.session.explaining():
            self.session.lock.renew()
            self.record.step = name
            self.folder.write(self.record)
            self.reporter.step(name)
            log.info(f"{name} ...")
            started = time.monotonic()
            with part(name):
                yield
        self.record.seconds[name] = round(time.monotonic() - started, 3)

    def _end(self, result: Result, reason: str) -> None:
        """Write the record to disk, then to Redis."""
        self._conclude(result, reason)
        self.session.announce(self.record)

    def _fail(self, error: BaseException) -> None:
        """Write the record wherever that is still possible: the disk or Redis may be the cause."""
        if self.record.version is None:
            self.folder.drop_model()  # half a model, which may have filled the disk
        with suppress(OSError):
            self._conclude("failed", f"in the step {self.record.step!r}: {error!r}")
        with suppress(PublishError):
            self.session.announce(self.record)

    def _conclude(self, result: Result, reason: str) -> None:
        """Set the result, and write record and report to disk."""
        record = self.record
        record.peak_mb = peak_mb()
        record.end(result, reason)
        self.reporter.end(result, reason)
        page = render(record)
        write_durably(self.folder.report, lambda path: path.write_text(page, encoding="utf-8"))
        self.folder.write(record)
