"""The model of a data folder: reused from an earlier run, or made by `encode` and `fit`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from deploy import module_command, module_environment
from deploy.local.processes import Child
from deploy.local.workspace import ModelFolder, Recipe
from model.artifact.files import PICTURE_FOLDER, Artifact, pictures_in
from training.data.folder import DESCRIPTION_COLUMNS, FEATURE_SUFFIX, PICTURE_COLUMNS
from training.errors import ExplainedError

Content = Literal["text", "images"]
_FEATURES: dict[Content, str] = {
    "text": f"text{FEATURE_SUFFIX}",
    "images": f"visual{FEATURE_SUFFIX}",
}
_LIBRARIES: dict[Content, str] = {
    "text": "sentence_transformers",
    "images": "efficientnet_lite_pytorch",
}


def without_features(data: Path) -> list[Content]:
    """What `encode` would find in a data folder and has not been encoded.

    Titles alone are no texts: their words say as much as an encoder would.
    """
    found: list[Content] = []
    for table in [*data.glob("items.tsv"), *data.glob("*.item")]:
        columns = _columns(table)
        if columns.keys() & set(DESCRIPTION_COLUMNS):
            found.append("text")
        if _has_pictures(data, table, columns):
            found.append("images")
    return [content for content in found if not (data / _FEATURES[content]).exists()]


def can_encode(content: Content) -> bool:
    """Whether the libraries of the default encoder are installed."""
    return find_spec(_LIBRARIES[content]) is not None


def _columns(table: Path) -> dict[str, int]:
    """Places of the columns by name, RecBole's types taken off."""
    with table.open(encoding="utf-8-sig", errors="replace") as lines:
        names = lines.readline().rstrip("\r\n").split("\t")
    return {name.partition(":")[0]: place for place, name in enumerate(names)}


def _has_pictures(data: Path, table: Path, columns: dict[str, int]) -> bool:
    if pictures_in(data / PICTURE_FOLDER):
        return True
    places = [columns[name] for name in PICTURE_COLUMNS if name in columns]
    return any((data / name).is_file() for name in _values(table, places) if name)


def _values(table: Path, places: list[int]) -> Iterator[str]:
    if not places:
        return
    with table.open(encoding="utf-8-sig", errors="replace") as lines:
        next(lines, None)
        for line in lines:
            fields = line.rstrip("\r\n").split("\t")
            yield from (fields[place] for place in places if place < len(fields))


_WORDS: dict[Content, str] = {"text": "descriptions", "images": "pictures"}


class StepFailed(ExplainedError):
    """A step of making a model failed; it has said why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A whole model, and where it lies."""

    folder: ModelFolder
    artifact: Artifact
    data: Path
    """What it was trained on: the data folder, or a copy with features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A `fit` that is running, and writes early models meanwhile."""

    child: Child
    folder: ModelFolder
    recipe: Recipe
    data: Path
    """Data folder that it is trained on, as in `Fitted`."""

    def finish(self) -> Fitted:
        """The model, once the training has ended; StepFailed if it has failed."""
        check(self.child, self.child.wait())
        artifact = self.folder.finish(self.recipe)
        return Fitted(folder=self.folder, artifact=artifact, data=self.data)


def check(step: Child, status: int) -> None:
    """StepFailed, if the step has ended with this status and it is none of success."""
    if status != 0:
        raise StepFailed(f"{step.name} failed (exit status {status}), see above")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What to make a model of, and how."""

    data: Path
    folder: ModelFolder
    fit_arguments: tuple[str, ...]
    encode: bool
    """Whether texts and pictures without features are encoded, where the libraries are there."""
    again: bool
    """Whether to train even if a model stands that was made from the same."""
    say: Callable[[str], None]
    progress_url: str | None = None
    """Redis of a service whose page shows the training while it runs."""

    def run(self) -> Fitted:
        """A model of the data as they are now.

        Raises:
            StepFailed: encoding or training ended with an error.
        """
        with self.begun() as model:
            return model.finish() if isinstance(model, Training) else model

    @contextmanager
    def begun(self) -> Iterator[Fitted | Training]:
        """A model of the data as they are now, or its training, which is stopped on exit.

        Raises:
            StepFailed: encoding ended with an error.
        """
        contents = self._contents()
        recipe = Recipe.of(self.data, self.fit_arguments, encoded=tuple(contents))
        data = self.folder.features if contents else self.data
        artifact, why_not = self.folder.reusable(recipe)
        if artifact is not None and not self.again:
            self.say(
                f"using the model {artifact.manifest.model_version} in {self.folder.artifact}: "
                "data and options are what it was made from"
            )
            yield Fitted(folder=self.folder, artifact=artifact, data=data)
            return
        self.folder.begin(recipe, anew=self.again)
        if contents:
            self._encode(contents)
        self.say(f"training on {data}: {why_not or 'as asked for'}")
        options = ["--data", str(data), "--out", str(self.folder.artifact)]
        options += ["--publish-early", "--force"]
        with self._step("the training", "fit", [*options, *self.fit_arguments]) as child:
            try:
                yield Training(child=child, folder=self.folder, recipe=recipe, data=data)
            finally:
                if child.poll() is None:
                    child.stop()
                    self.say(self.folder.kept)

    def _contents(self) -> list[Content]:
        """What is to be encoded."""
        if not self.encode:
            return []
        found = without_features(self.data)
        for content in found:
            if not can_encode(content):
                self.say(
                    f"{_WORDS[content]} of items are not encoded: pip install "
                    "'magnet-recommender[encoders]' adds what that needs, and the next run trains "
                    "with them"
                )
        return [content for content in found if can_encode(content)]

    def _encode(self, contents: Sequence[Content]) -> None:
        self.say(f"encoding {' and '.join(_WORDS[content] for content in contents)} of items")
        for ours in self.data.glob(f"*{FEATURE_SUFFIX}"):  # `encode` keeps what it finds there
            (self.folder.features / ours.name).unlink(missing_ok=True)
        options = ["--data", str(self.data), "--out", str(self.folder.features)]
        options += [f"--{each}" for each in contents]
        with self._step("the encoding", "encode", options) as step:
            check(step, step.wait())

    def _step(self, name: str, command: str, options: Sequence[str]) -> Child:
        """Run a command; its progress goes to our output. We publish what it makes."""
        words = module_command("deploy.cli", command, *options)
        env = module_environment()
        env.pop("REDIS_URL", None)
        if self.progress_url is not None:  # not an option, as it may hold a password
            env["MAGNET_PROGRESS_URL"] = self.progress_url
        return Child(name, words, env=env)
