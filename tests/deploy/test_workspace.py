"""Where things lie, one launcher at a time, and when a model may be used again."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.recipe import Recipe, record, reusable
from deploy.workspace import Workspace, WorkspaceBusy
from model.contract.artifact import read_artifact

PROJECT = Path(__file__).parents[2]
CLAIM = """
import sys
from pathlib import Path
from deploy.workspace import Workspace
with Workspace(Path(sys.argv[1])).claimed():
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_one_launcher_at_a_time(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, tmp_path],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(WorkspaceBusy, match="stop it first"), Workspace(tmp_path).claimed():
            pass
        other.kill()
    with Workspace(tmp_path).claimed():
        pass


def test_data_of_the_same_name_have_models_of_their_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    left, right = tmp_path / "a" / "shop", tmp_path / "b" / "shop"
    assert workspace.model(left) != workspace.model(right)
    assert workspace.model(left) == workspace.model(left / ".." / "shop")


@dataclass(frozen=True)
class Made:
    """A model, the data it was made from, and the note of that."""

    data: Path
    artifact: Path
    note: Path

    def recipe(self, *arguments: str) -> Recipe:
        return Recipe.of(self.data, arguments or ("--epochs", "3"))


@pytest.fixture
def made(tmp_path: Path, artifact_dir: Path) -> Made:
    made = Made(tmp_path / "data", tmp_path / "artifact", tmp_path / "recipe.json")
    made.data.mkdir()
    (made.data / "shop.inter").write_text("user_id\titem_id\nu1\ti1\n")
    shutil.copytree(artifact_dir, made.artifact)
    record(made.recipe(), read_artifact(made.artifact), made.note)
    return made


def test_a_model_of_the_same_data_and_options_is_used_again(made: Made) -> None:
    artifact, why_not = reusable(made.artifact, made.recipe(), made.note)
    assert why_not == ""
    assert artifact is not None
    assert artifact.manifest == read_artifact(made.artifact).manifest


def test_other_options_make_another_model(made: Made) -> None:
    recipe = made.recipe("--epochs", "4")
    assert reusable(made.artifact, recipe, made.note) == (None, "its options were --epochs 3")


def rename_version(made: Made) -> None:
    manifest = read_artifact(made.artifact).manifest
    other = manifest.model_copy(update={"model_version": "another"})
    (made.artifact / "manifest.json").write_text(other.model_dump_json())


CHANGES: dict[str, tuple[Callable[[Made], object], str]] = {
    "content": (
        lambda made: (made.data / "shop.inter").write_text("user_id\titem_id\nu1\ti2\n"),
        "the data have changed",
    ),
    "new file": (
        lambda made: (made.data / "items.tsv").write_text("item_id\n"),
        "the data have changed",
    ),
    "renamed file": (
        lambda made: (made.data / "shop.inter").rename(made.data / "store.inter"),
        "the data have changed",
    ),
    "other artifact": (rename_version, "it is not known what the model there was made from"),
    "no note": (
        lambda made: made.note.unlink(),
        "it is not known what the model there was made from",
    ),
    "no artifact": (lambda made: shutil.rmtree(made.artifact), "there is no model yet"),
    "half an artifact": (
        lambda made: (made.artifact / "manifest.json").unlink(),
        "is not an artifact",
    ),
    "damaged artifact": (
        lambda made: (made.artifact / "head.onnx").write_bytes(b""),
        "is damaged",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_it_is_trained_anew_and_said_why(change: str, made: Made) -> None:
    happens, reason = CHANGES[change]
    happens(made)
    artifact, why_not = reusable(made.artifact, made.recipe(), made.note)
    assert artifact is None
    assert reason in why_not
