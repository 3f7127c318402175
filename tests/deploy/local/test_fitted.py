"""How a data folder becomes a model, and when nothing is done anew."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.local.pipeline import Fitting, StepFailed
from deploy.local.workspace import ModelFolder

QUICK = ("--max-epochs", "1", "--embedding-dim", "8", "--batch-size", "64")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """Descriptions and a few pictures, none of them encoded."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (data / "text_feat.npy").unlink()
    header, *rows = (data / "items.tsv").read_text().splitlines()
    described = [f"{row}\tSomething of {row.split()[-1].lower()}." for row in rows]
    (data / "items.tsv").write_text("\n".join([f"{header}\tdescription", *described]) + "\n")
    return data


@pytest.fixture
def fitting(data: Path, tmp_path: Path) -> Callable[..., Fitting]:
    """What is said is collected in `said`, which the caller gives."""

    def make(said: list[str], **changes: object) -> Fitting:
        options: dict[str, object] = {
            "data": data,
            "folder": ModelFolder(tmp_path / "model"),
            "fit_arguments": QUICK,
            "encode": True,
            "again": False,
            "say": said.append,
        }
        return Fitting(**(options | changes))  # type: ignore[arg-type]

    return make


def test_descriptions_are_encoded_and_nothing_is_done_twice(
    fitting: Callable[..., Fitting], data: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    said: list[str] = []
    first = fitting(said).run()
    assert said[0] == "encoding descriptions of items"
    assert said[1].endswith("there is no model yet")
    assert np.load(first.data / "text_feat.npy").shape[0] == 40
    assert not (data / "text_feat.npy").exists()
    assert set(first.artifact.manifest.modalities) == {"behaviour", "picture", "text"}

    said.clear()
    second = fitting(said).run()
    assert second.artifact.manifest.model_version == first.artifact.manifest.model_version
    assert len(said) == 1
    assert said[0].endswith("data and options are what it was made from")

    said.clear()
    third = fitting(said, again=True).run()
    assert said[-1].endswith("as asked for")
    assert third.artifact.manifest.model_version != first.artifact.manifest.model_version


def test_features_of_the_data_folder_are_taken_anew(
    fitting: Callable[..., Fitting], data: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    items = (data / "items.tsv").read_text().splitlines()
    (data / "items.tsv").write_text("\n".join([items[0], *(f"i{n:03d}\t\t\t" for n in range(40))]))
    making = fitting([])
    copied = making.folder.features / "picture_feat.npy"
    copied.parent.mkdir(parents=True)
    np.save(copied, np.zeros((40, 2), dtype=np.float32))
    with pytest.raises(StepFailed, match=r"the encoding failed \(exit status 1\), see above"):
        making.run()
    assert not copied.exists()


def test_without_the_libraries_it_goes_on_and_says_so(
    fitting: Callable[..., Fitting], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.pipeline.can_encode", lambda content: False)
    (data / "images").mkdir()
    Image.new("RGB", (8, 8), "red").save(data / "images" / "i001.png")
    said: list[str] = []
    with pytest.raises(StepFailed, match=r"the training failed \(exit status 2\), see above"):
        fitting(said, fit_arguments=("--no-such-option",)).run()
    *missing, last = said
    assert last.startswith(f"training on {data}: ")
    assert [line.partition(" are ")[0] for line in missing] == [
        "descriptions of items",
        "pictures of items",
    ]
    assert all("pip install 'magnet-recommender[encoders]'" in line for line in missing)
