"""The runs of a state folder: what each one did, and where it keeps what it made.

runs/20260131T030000.123Z-1a2b/    run.json, report.html, artifact/, weights.pt, and data/
                                   while it runs; names are in the order of time
"""

import secrets
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from model.artifact.manifest import EpochRecord
from training.data.files import make_folder, remove_partials, write_durably
from training.evaluate.protocol import Evaluation
from training.retrain.rules import Rule

_KEPT_RECORDS = 400
"""Runs whose record and report stay: a year of nights; some 100 kB each."""

Result = Literal["promoted", "canary", "refused", "unchanged", "failed", "killed"]


class ChangedList(BaseModel):
    """What a user's first ten would gain and lose: titles, or ids of items without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: str
    gone: list[str]
    came: list[str]


class RunRecord(BaseModel):
    """One run, as far as it has come; in `run.json`, and in Redis for the service's metrics.

    In fields, `champion` is the live model and `challenger` the candidate.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: str
    namespace: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    step: str = "begin"
    """The current step, or the last."""
    result: Result | None = None
    """None while it runs, or if it was killed and no later run has noticed."""
    reason: str = ""
    champion: str | None = None
    """The version that was live when it began."""
    comparable: str = ""
    """Why the live model could not be compared or started from; empty if it could."""
    warm: bool = False
    """Whether training started from the live model's weights."""
    version: str | None = None
    """The version that it made, live or not."""
    live: bool = False
    """Whether that version went live."""
    inputs: str = ""
    """Digest of the data folder and of the settings: with it and no new events, nothing is new."""
    events: int = 0
    """Events in the log."""
    newest_event: AwareDatetime | None = None
    """When the newest of them was received."""
    events_until: AwareDatetime | None = None
    """What was received until then is in the log, or can never be."""
    new_events: int = 0
    """Events since the live model's run."""
    data: dict[str, int] = {}
    """Counts of rows, users and items, by what they are."""
    density: float | None = None
    """Share of all user-item combinations that are positive."""
    rejected: dict[str, int] = {}
    """Entries and events that cannot be used, by reason."""
    capped_users: dict[str, int] = {}
    """User-item pairs left out, by user who has more of them than one may weigh."""
    capped_items: dict[str, int] = {}
    """Pairs left out, by item that nobody has described."""
    rules: list[Rule] = []
    metrics: dict[str, dict[str, float]] = {}
    """Metrics of `challenger`, `champion` and `popular`, by their names in the manifest."""
    seconds: dict[str, float] = {}
    """Seconds of each step."""
    peak_mb: float = 0.0
    """MB (10^6 bytes) of memory."""
    history: list[EpochRecord] = []
    experts: list[str] = []
    """Names of the experts, in the order of the shares in `history`."""
    changed: list[ChangedList] = []
    """Examples, the live model against the new one."""
    best_epoch: int = 0
    trigger_epoch: int | None = None
    last_promoted_at: AwareDatetime | None = None
    """When a run last promoted a model in this namespace, this one included."""

    def end(self, result: Result, reason: str) -> None:
        """Set what came of it."""
        self.result, self.reason = result, reason
        self.finished_at = datetime.now(UTC)
        if result == "promoted":
            self.last_promoted_at = self.finished_at


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Metrics that are finite, by the names of a manifest, and how many users."""
    flat = {"users": float(len(evaluation.users)), **evaluation.flat()}
    return {name: value for name, value in flat.items() if np.isfinite(value)}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where one run keeps what it makes."""

    root: Path

    @property
    def artifact(self) -> Path:
        """The new model."""
        return self.root / "artifact"

    @property
    def weights(self) -> Path:
        """Its weights, for later runs to start from."""
        return self.root / "weights.pt"

    @property
    def data(self) -> Path:
        """The training set; removed when the run ends."""
        return self.root / "data"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "report.html"

    def write(self, record: RunRecord) -> None:
        """Write the record to disk."""
        text = record.model_dump_json(indent=1) + "\n"
        write_durably(self.root / "run.json", lambda path: path.write_text(text))

    def read(self) -> RunRecord | None:
        """The record, or None if there is none that can be read."""
        try:
            return RunRecord.model_validate_json((self.root / "run.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def drop_model(self) -> None:
        """Remove everything but the record and the report."""
        for folder in (self.artifact, self.data):
            shutil.rmtree(folder, ignore_errors=True)
        self.weights.unlink(missing_ok=True)
        remove_partials(self.root)


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of one state folder."""

    state: Path

    def begin(self, namespace: str) -> tuple[RunFolder, RunRecord]:
        """Make a new run's folder, with a record that says that it has begun."""
        record = self.new_record(namespace)
        folder = RunFolder(self.state / "runs" / record.run_id)
        make_folder(folder.root)
        folder.write(record)
        return folder, record

    def new_record(self, namespace: str) -> RunRecord:
        """The record of a run that begins now; nothing is written."""
        now = datetime.now(UTC)
        promoted = (x.last_promoted_at for _, x in self.newest_first() if x.last_promoted_at)
        return RunRecord(
            run_id=f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{secrets.token_hex(2)}",
            namespace=namespace,
            started_at=now,
            last_promoted_at=next(promoted, None),
        )

    def newest_first(self) -> Iterator[tuple[RunFolder, RunRecord]]:
        """Every run that has a record."""
        for path in sorted((self.state / "runs").glob("*"), reverse=True):
            record = RunFolder(path).read()
            if record is not None:
                yield RunFolder(path), record

    def of_version(self, version: str | None) -> tuple[RunFolder, RunRecord] | None:
        """The run that made a version."""
        made = ((x, record) for x, record in self.newest_first() if record.version == version)
        return next(made, None) if version is not None else None

    def clean(self, keep_runs: int, named: Collection[str], canary: str | None = None) -> None:
        """Clear up after runs that were killed; drop models beyond the newest.

        No other retraining may be running.

        Args:
            keep_runs: newest runs with a model that keep it.
            named: versions whose runs keep theirs as well.
            canary: the one of them that serves a share of the users.
        """
        make_folder(self.state / "runs")
        remove_partials(self.state / "runs")
        for path in (self.state / "runs").iterdir():
            if RunFolder(path).read() is None:
                shutil.rmtree(path)
        models = 0
        for place, (folder, record) in enumerate(self.newest_first()):
            shutil.rmtree(folder.data, ignore_errors=True)
            if record.result is None:
                _close(folder, record, named, canary)
            models += folder.artifact.exists()
            if models > keep_runs and record.version not in named:
                folder.drop_model()
            if place >= _KEPT_RECORDS and record.version not in named:
                shutil.rmtree(folder.root)


def _close(
    folder: RunFolder, record: RunRecord, named: Collection[str], canary: str | None
) -> None:
    """Record how far a run had come that was killed."""
    killed = f"killed in the step {record.step!r}"
    if record.version is not None and record.version == canary:
        record.end("canary", f"{killed}, after it became the canary")
    elif record.version is not None and record.version in named:
        record.live = True
        record.end("promoted", f"{killed}, after it went live")
    else:
        record.end("killed", f"in the step {record.step!r}; nothing live was changed")
        folder.drop_model()
    folder.write(record)
