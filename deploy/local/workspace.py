"""The `.magnet` folder: sample data, models, the embedded server's data and logs.

One launcher at a time may use it. A model folder notes what its model is made from. The note is
written before a training, so that a killed one can go on, and again after it with the resulting
version: a model is used again only if the note names it and its recipe.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from model.artifact.files import (
    MANIFEST,
    Artifact,
    ArtifactError,
    parse_manifest,
    read_artifact,
)
from model.artifact.manifest import ArtifactManifest
from training.errors import ExplainedError


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(_Note):
    """Data and options of one training."""

    data_sha256: str
    """Over the names and contents of the data folder's files."""
    arguments: tuple[str, ...]
    """Options of `magnet fit` besides the folders."""
    encoded: tuple[str, ...] = ()
    """Contents that were made features before."""

    @classmethod
    def of(cls, data: Path, arguments: tuple[str, ...], encoded: tuple[str, ...] = ()) -> "Recipe":
        """The recipe that `data` and `arguments` make now."""
        return cls(data_sha256=_digest(data), arguments=arguments, encoded=encoded)


def _digest(folder: Path) -> str:
    """Over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{checksum}\n".encode())
    return digest.hexdigest()


class _Training(_Note):
    recipe: Recipe
    model_version: str | None
    """What came out; None for a training that has begun."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Where one model is trained and kept."""

    root: Path

    @property
    def artifact(self) -> Path:
        """The artifact's folder."""
        return self.root / "artifact"

    @property
    def features(self) -> Path:
        """A copy of the data with features of what was encoded."""
        return self.root / "data"

    def reusable(self, recipe: Recipe) -> tuple[Artifact | None, str]:
        """The model, if it is whole and was made from `recipe`; else None and why not."""
        last = self._last()
        if last is None or not self.artifact.exists():
            return None, "there is no model yet"
        if last.recipe.data_sha256 != recipe.data_sha256:
            return None, "the data have changed"
        if last.recipe.arguments != recipe.arguments:
            return None, f"the options were {' '.join(last.recipe.arguments) or 'the defaults'}"
        if last.recipe.encoded != recipe.encoded:
            return None, f"encoded was {' and '.join(last.recipe.encoded) or 'nothing'}"
        try:
            artifact = read_artifact(self.artifact)
        except ArtifactError as error:
            return None, str(error)
        if last.model_version != artifact.manifest.model_version:
            return None, "the last training did not end"
        return artifact, ""

    def begin(self, recipe: Recipe, *, anew: bool = False) -> None:
        """Get ready for a training: what is not of its recipe, or no whole artifact, is removed.

        Args:
            recipe: what will be trained.
            anew: go on from nothing, even from a killed training of the same recipe.
        """
        last = self._last()
        if anew or last is None or last.recipe != recipe:
            self._checkpoint.unlink(missing_ok=True)
            shutil.rmtree(self.artifact, ignore_errors=True)
        if not (self.artifact / MANIFEST).exists():
            shutil.rmtree(self.artifact, ignore_errors=True)
        for half in self.root.glob(".artifact-*"):  # of an export that was killed
            shutil.rmtree(half, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True)
        self._write(_Training(recipe=recipe, model_version=None))

    def finish(self, recipe: Recipe) -> Artifact:
        """Note what came out of the training and return it."""
        artifact = read_artifact(self.artifact)
        self._write(_Training(recipe=recipe, model_version=artifact.manifest.model_version))
        return artifact

    def written(self) -> ArtifactManifest | None:
        """What the training has written so far: an early model, or the finished one."""
        path = self.artifact / MANIFEST
        try:
            return parse_manifest(path.read_bytes(), str(path))
        except (OSError, ArtifactError):
            return None

    @property
    def kept(self) -> str:
        """What is left of a training that was stopped, in words."""
        early = self.written()
        kept = [
            *(["the epochs of the training so far"] if self._checkpoint.exists() else []),
            *([f"the early model {early.model_version}"] if early else []),
        ]
        if not kept:
            return "the training has not come far enough to leave anything"
        return f"kept: {' and '.join(kept)}; the next run with these data and options uses them"

    @property
    def _checkpoint(self) -> Path:
        return self.artifact.with_name("artifact.checkpoint")

    @property
    def _note(self) -> Path:
        return self.root / "training.json"

    def _last(self) -> _Training | None:
        try:
            return _Training.model_validate_json(self._note.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, training: _Training) -> None:
        self._note.write_text(training.model_dump_json(indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class ImportFolder:
    """Where tables of another folder are imported to."""

    data: Path
    """The data folder."""

    def is_current(self, tables: Path) -> bool:
        """Whether the data folder is made of the tables as they are now."""
        try:
            return self._note.read_text() == _digest(tables)
        except OSError:
            return False

    def finish(self, tables: Path) -> None:
        """Note what the data folder was made of."""
        self._note.write_text(_digest(tables))

    @property
    def _note(self) -> Path:
        return self.data.with_name("tables.sha256")


class WorkspaceBusy(ExplainedError):
    """Another launcher is using the folder."""


class NotRunning(ExplainedError):
    """No launcher is serving from the folder."""


class Running(_Note):
    """What a launcher serves."""

    redis_url: str
    namespace: str
    data: str
    """The data folder."""


def _place(folder: Path) -> str:
    """A name for what is made of one folder."""
    path = folder.resolve()
    return f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths below one folder."""

    root: Path

    @property
    def sample(self) -> Path:
        """The default sample's data."""
        return self.root / "data" / "ml-100k"

    def valkey(self, data: Path) -> Path:
        """What the embedded server keeps for the data in one folder.

        Users, items and models of other data stay apart.
        """
        return self.root / "valkey" / _place(data)

    def model(self, data: Path) -> ModelFolder:
        """The model of the data in one folder; folders of equal name do not share it."""
        return ModelFolder(self.root / "models" / _place(data))

    def imported(self, tables: Path) -> ImportFolder:
        """What the tables in one folder are imported to."""
        return ImportFolder(self.root / "imports" / _place(tables) / tables.resolve().name)

    def retrain(self, data: Path) -> Path:
        """Event log and runs of the data in one folder."""
        return self.model(data).root / "retrain"

    def retrained(self, data: Path, version: str | None) -> bool:
        """Whether a version was made by a retraining on the data in one folder."""
        records = (self.retrain(data) / "runs").glob("*/run.json")
        return any(json.loads(path.read_text()).get("version") == version for path in records)

    def running(self) -> Running:
        """What the launcher of this folder serves; NotRunning if there is none."""
        try:
            return Running.model_validate_json(self._note.read_bytes())
        except (OSError, ValidationError) as error:
            raise NotRunning(
                f"nothing is running with {self.root}; start it first, in another terminal: "
                "magnet run"
            ) from error

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Note what is served, readable by this user only: the URL may hold a password."""
        self._note.unlink(missing_ok=True)
        self._note.touch(mode=0o600)
        self._note.write_text(running.model_dump_json())
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
        try:
            claim = FileLock(self.root / "claim").acquire(blocking=False)
        except Timeout as error:
            raise WorkspaceBusy(
                f"another launcher is running with {self.root}; stop it first (Ctrl-C there), "
                "or give this one a folder of its own: --out DIR"
            ) from error
        with claim:
            yield
