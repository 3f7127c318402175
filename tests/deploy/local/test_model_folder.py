"""When a model may be used again, and what a training finds when it begins."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.workspace import ModelFolder, Recipe
from model.artifact.files import read_artifact


@dataclass(frozen=True)
class Shop:
    """Data, and the model that was made from them."""

    data: Path
    folder: ModelFolder

    @property
    def checkpoint(self) -> Path:
        return self.folder.root / "artifact.checkpoint"

    def recipe(self, *arguments: str) -> Recipe:
        return Recipe.of(self.data, arguments or ("--epochs", "3"))


@pytest.fixture
def shop(tmp_path: Path, artifact_dir: Path) -> Shop:
    shop = Shop(tmp_path / "data", ModelFolder(tmp_path / "model"))
    shop.data.mkdir()
    (shop.data / "shop.inter").write_text("user_id\titem_id\nu1\ti1\n")
    shop.folder.begin(shop.recipe())
    shutil.copytree(artifact_dir, shop.folder.artifact)
    shop.folder.finish(shop.recipe())
    return shop


def test_a_model_of_the_same_data_and_options_is_used_again(shop: Shop) -> None:
    artifact, why_not = shop.folder.reusable(shop.recipe())
    assert why_not == ""
    assert artifact is not None
    assert artifact.manifest == read_artifact(shop.folder.artifact).manifest


def test_other_options_make_another_model(shop: Shop) -> None:
    assert shop.folder.reusable(shop.recipe("--epochs", "4")) == (
        None,
        "the options were --epochs 3",
    )


CHANGES: dict[str, tuple[Callable[[Shop], object], str]] = {
    "content": (
        lambda shop: (shop.data / "shop.inter").write_text("user_id\titem_id\nu1\ti2\n"),
        "the data have changed",
    ),
    "new file": (
        lambda shop: (shop.data / "items.tsv").write_text("item_id\n"),
        "the data have changed",
    ),
    "renamed file": (
        lambda shop: (shop.data / "shop.inter").rename(shop.data / "store.inter"),
        "the data have changed",
    ),
    "unfinished training": (
        lambda shop: shop.folder.begin(shop.recipe()),
        "the last training did not end",
    ),
    "no note": (
        lambda shop: (shop.folder.root / "training.json").unlink(),
        "there is no model yet",
    ),
    "no artifact": (lambda shop: shutil.rmtree(shop.folder.artifact), "there is no model yet"),
    "half an artifact": (
        lambda shop: (shop.folder.artifact / "manifest.json").unlink(),
        "is not an artifact",
    ),
    "damaged artifact": (
        lambda shop: (shop.folder.artifact / "head.onnx").write_bytes(b""),
        "is damaged",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_it_is_trained_anew_and_said_why(change: str, shop: Shop) -> None:
    happens, reason = CHANGES[change]
    happens(shop)
    artifact, why_not = shop.folder.reusable(shop.recipe())
    assert artifact is None
    assert reason in why_not


def test_a_model_of_other_features_is_trained_anew(shop: Shop) -> None:
    encoded = Recipe.of(shop.data, ("--epochs", "3"), encoded=("text",))
    assert shop.folder.reusable(encoded) == (None, "encoded was nothing")


def test_a_training_from_nothing_leaves_no_checkpoint(shop: Shop) -> None:
    shop.checkpoint.touch()
    shop.folder.begin(shop.recipe(), anew=True)
    assert not shop.checkpoint.exists()


def test_a_killed_training_goes_on_and_its_early_model_is_served_meanwhile(shop: Shop) -> None:
    shop.folder.begin(shop.recipe())
    shop.checkpoint.touch()
    killed = shop.folder.root / ".artifact-x1"
    killed.mkdir()
    shop.folder.begin(shop.recipe())
    assert shop.checkpoint.exists()
    assert shop.folder.written() == read_artifact(shop.folder.artifact).manifest
    assert not killed.exists()


def test_what_is_of_other_options_is_removed(shop: Shop) -> None:
    shop.checkpoint.touch()
    shop.folder.begin(shop.recipe("--epochs", "4"))
    assert not shop.checkpoint.exists()
    assert shop.folder.written() is None


def test_it_says_what_a_stopped_training_leaves(shop: Shop) -> None:
    version = read_artifact(shop.folder.artifact).manifest.model_version
    assert shop.folder.kept.startswith(f"kept: the early model {version}; the next run")
    shop.checkpoint.touch()
    both = f"kept: the epochs of the training so far and the early model {version};"
    assert shop.folder.kept.startswith(both)
    shop.folder.begin(shop.recipe(), anew=True)
    assert shop.folder.kept == "the training has not come far enough to leave anything"


def test_half_an_artifact_is_out_of_the_trainings_way(shop: Shop) -> None:
    (shop.folder.artifact / "manifest.json").unlink()
    shop.folder.begin(shop.recipe())
    assert not shop.folder.artifact.exists()
