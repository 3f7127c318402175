"""The `.magnet` folder: sample data, models, the embedded server's data and logs.

Knows where things lie and that one launcher at a time may use them; knows nothing about them.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.model_folder import ModelFolder
from training.explained import ExplainedError

PROJECT = Path(__file__).resolve().parents[1]
"""The checkout that this runs from; child processes run in it, so that they find the packages."""


class WorkspaceBusy(ExplainedError):
    """Another launcher is using the folder."""


class NotRunning(ExplainedError):
    """No launcher is serving from the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a launcher is serving."""

    redis_url: str
    namespace: str
    data: str
    """The data folder."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths below one folder."""

    root: Path

    @property
    def sample(self) -> Path:
        """The default sample's data."""
        return self.root / "data" / "ml-100k"

    @property
    def valkey(self) -> Path:
        """Data of the embedded server."""
        return self.root / "valkey"

    def model(self, data: Path) -> ModelFolder:
        """The model of the data in one folder; folders of equal name do not share it."""
        place = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]
        return ModelFolder(self.root / "models" / f"{data.resolve().name}-{place}")

    def retrain(self, data: Path) -> Path:
        """Event log and runs of the data in one folder."""
        return self.model(data).root / "retrain"

    def retrained(self, data: Path, version: str | None) -> bool:
        """Whether a version was made by a retraining on the data in one folder."""
        records = (self.retrain(data) / "runs").glob("*/run.json")
        return any(json.loads(path.read_text()).get("version") == version for path in records)

    def running(self) -> Running:
        """What the launcher that has claimed the folder says that it serves; NotRunning if none."""
        try:
            return Running(**json.loads(self._note.read_text()))
        except (OSError, TypeError, json.JSONDecodeError) as error:
            raise NotRunning(
                f"nothing is running with {self.root}; start it first, in another terminal: "
                "make run"
            ) from error

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Say what is served, to this user only: the server's URL may hold a password."""
        self._note.unlink(missing_ok=True)
        self._note.touch(mode=0o600)
        self._note.write_text(json.dumps(asdict(running)))
        try:
            yield
        finally:
            self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.root / "running.json"

    def log(self, name: str) -> Path:
        """Log file of a child process."""
        return self.root / "logs" / f"{name}.log"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other launchers out; the claim ends with the process, however it ends.

        Raises:
            WorkspaceBusy: another launcher has claimed the folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "claim").open("w") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WorkspaceBusy(
                    f"another launcher is running with {self.root}; stop it first (Ctrl-C there), "
                    "or give this one a folder of its own: --out DIR"
                ) from error
            yield
