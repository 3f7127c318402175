"""What the launcher publishes while a training writes, on a real server."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.models import Models
from deploy.local.pipeline import Fitted, StepFailed, Training
from deploy.local.processes import Child
from deploy.local.workspace import ModelFolder, Recipe
from model.artifact.files import Artifact, read_artifact, write_artifact
from training.publish import live_version, publish_artifact

RECIPE = Recipe(data_sha256="0", arguments=())


def artifact(make: Callable[..., Artifact], version: str, *, is_early: bool) -> Artifact:
    made = make(version, 1)
    training = made.manifest.training.model_copy(update={"early": is_early})
    changes = {"training": training, "metrics": {"valid/ndcg@20": 0.25}}
    return Artifact(
        manifest=made.manifest.model_copy(update=changes), tensors=made.tensors, files=made.files
    )


class Trainer(Child):
    """A training that ends when it is told to."""

    def __init__(self) -> None:
        super().__init__("the training", [sys.executable, "-c", "import time; time.sleep(600)"])

    def end(self, status: int) -> None:
        self.stop()
        code = f"import sys; sys.exit({status})"
        self._process = subprocess.Popen([sys.executable, "-c", code])
        self._process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    folder = ModelFolder(tmp_path / "model")
    folder.begin(RECIPE)
    return folder


@pytest.fixture
def write(folder: ModelFolder, make_artifact: Callable[..., Artifact]) -> Callable[..., None]:
    """Puts an artifact where a training does."""

    def put(version: str, *, is_early: bool = True) -> None:
        shutil.rmtree(folder.artifact, ignore_errors=True)
        folder.artifact.mkdir()
        write_artifact(folder.artifact, artifact(make_artifact, version, is_early=is_early))

    return put


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    with Trainer() as trainer:
        yield trainer


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def models(redis_url: str, folder: ModelFolder, trainer: Trainer, said: list[str]) -> Models:
    training = Training(child=trainer, folder=folder, recipe=RECIPE, data=folder.root)
    return Models(
        model=training,
        redis_url=redis_url,
        namespace="default",
        gives_way=False,
        retrained=None,
        say=said.append,
    )


def test_better_models_are_published_until_the_finished_one_is(
    models: Models, write: Callable[..., None], trainer: Trainer, redis_url: str, said: list[str]
) -> None:
    models.step()
    assert models.served is None
    for version in ("e1", "e2"):
        write(version)
        models.step()
        models.step()
        assert live_version(redis_url) == models.served == version
    assert [line for line in said if "better" in line] == [
        "serving a better model: e2, validation NDCG@20 0.2500"
    ]
    write("v1", is_early=False)
    trainer.end(0)
    models.step()
    assert live_version(redis_url) == models.served == "v1"
    assert not models.training
    assert said[-1].startswith("training is finished: serving v1")
    said.clear()
    models.step()
    assert said == []


def test_what_others_have_made_live_stays(
    models: Models,
    write: Callable[..., None],
    trainer: Trainer,
    redis_url: str,
    make_artifact: Callable[..., Artifact],
    tmp_path: Path,
    said: list[str],
) -> None:
    write("e1")
    models.step()
    (tmp_path / "other").mkdir()
    write_artifact(tmp_path / "other", make_artifact("r1", 2))
    publish_artifact(tmp_path / "other", redis_url)
    write("v1", is_early=False)
    trainer.end(0)
    models.step()
    assert live_version(redis_url) == "r1"
    assert said[-1].startswith("r1 has gone live meanwhile and stays")


def test_on_a_server_of_ones_own_a_finished_model_is_served_until_there_is_a_newer_one(
    models: Models,
    write: Callable[..., None],
    trainer: Trainer,
    redis_url: str,
    make_artifact: Callable[..., Artifact],
    tmp_path: Path,
    said: list[str],
) -> None:
    models.gives_way = True
    (tmp_path / "other").mkdir()
    write_artifact(tmp_path / "other", make_artifact("v1", 2))
    publish_artifact(tmp_path / "other", redis_url)
    write("e1")
    models.step()
    models.step()
    assert models.served is None
    assert len(said) == 1
    assert said[0].startswith("the early model e1 is not published: an early model waits")
    write("v2", is_early=False)
    trainer.end(0)
    models.step()
    assert live_version(redis_url) == models.served == "v2"


def test_what_a_retraining_has_made_stays(
    models: Models, write: Callable[..., None], trainer: Trainer, said: list[str]
) -> None:
    models.retrained = "r1"
    write("e1")
    models.step()
    assert (models.served, said) == (None, [])
    write("v1", is_early=False)
    trainer.end(0)
    models.step()
    assert models.served == "r1"
    assert said == ["going on with r1, which a retraining has made"]


def test_a_training_that_fails_is_told_of(models: Models, trainer: Trainer) -> None:
    trainer.end(3)
    with pytest.raises(StepFailed, match=r"the training failed \(exit status 3\)"):
        models.step()


def test_a_model_that_stands_is_published(
    models: Models, write: Callable[..., None], folder: ModelFolder, redis_url: str
) -> None:
    write("v1", is_early=False)
    found = read_artifact(folder.artifact)
    models.model = Fitted(folder=folder, artifact=found, data=folder.root)
    models.step()
    assert live_version(redis_url) == models.served == "v1"
