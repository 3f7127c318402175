"""The folders of all runs: one each, with its record, its report and its model.

    runs/20260131T030000.123Z-1a2b/    run.json, report.html, artifact/, weights.pt, and data/
                                       while it runs; names are in the order of time

Knows where things lie; knows nothing about what a run does.
"""

# FOLDED training/retrain/runs.py: A full disk, told as such, whichever library was writing.
#
#   Knows how libraries say so; knows nothing about what they wrote.
#

import errno
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from training.data.files import make_folder, remove_partials, write_durably
from training.errors import ExplainedError
from training.retrain.ledger import RunRecord

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_BYTES = 2**20
"""With less left than this, whatever is not explained otherwise is put down to it: PyTorch only
says that a write failed, and what it has written by then stays."""


class DiskFullError(ExplainedError):
    """There is no room for what a retraining writes."""


@contextmanager
def full_disk_explained(folder: Path) -> Iterator[None]:
    """Faults that come of a full disk below a folder are raised as DiskFullError."""
    try:
        yield
    except ExplainedError:
        raise
    except Exception as error:
        if not _is_full(error, folder):
            raise
        raise DiskFullError(
            f"the disk of {folder} is full ({error}); nothing live was changed and no event is "
            "lost: make room, then run it again (docs/operations.md says what may go)"
        ) from error


def _is_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    return shutil.disk_usage(there).free < _NO_ROOM_BYTES


_KEPT_RECORDS = 400
"""Runs whose record and report stay: a year of nights; some 100 kB each."""


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
        """Its weights, to go on from."""
        return self.root / "weights.pt"

    @property
    def data(self) -> Path:
        """The training set; removed when the run ends."""
        return self.root / "data"

    @property
    def report(self) -> Path:
        """For people."""
        return self.root / "report.html"

    def write(self, record: RunRecord) -> None:
        """Put the record onto the disk."""
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
    """All runs below one state folder."""

    state: Path

    def begin(self, namespace: str) -> tuple[RunFolder, RunRecord]:
        """A new run's folder, with a record that says that it has begun."""
        record = self.new_record(namespace)
        folder = RunFolder(self.state / "runs" / record.run_id)
        make_folder(folder.root)
        folder.write(record)
        return folder, record

    def new_record(self, namespace: str) -> RunRecord:
        """Of a run that begins now; nothing is written."""
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

        Nobody else may be running.

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
                self._give_up(folder, record, named, canary)
            models += folder.artifact.exists()
            if models > keep_runs and record.version not in named:
                folder.drop_model()
            if place >= _KEPT_RECORDS and record.version not in named:
                shutil.rmtree(folder.root)

    def _give_up(
        self, folder: RunFolder, record: RunRecord, named: Collection[str], canary: str | None
    ) -> None:
        """Say of a run that was killed how far it had come."""
        if record.version is not None and record.version == canary:
            record.end("canary", f"killed in the step {record.step!r}, after it became the canary")
        elif record.version is not None and record.version in named:
            record.live = True
            record.end("promoted", f"killed in the step {record.step!r}, after it went live")
        else:
            record.end("killed", f"in the step {record.step!r}; nothing live was changed")
            folder.drop_model()
        folder.write(record)
