"""The exported text encoder: what training would have made of the texts of items put later."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from model.artifact.files import Artifact, read_artifact
from model.artifact.manifest import ArtifactManifest, TensorSpec
from model.artifact.tables import StringTable
from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans
from model.runtime.item_encoder import ItemEncoder
from model.runtime.text_encoder import TextEncoder
from training.cli.fit import fit
from training.data.dataset import DataConfig
from training.data.features import read_content
from training.data.items import read_items
from training.export.item_encoder import text_encoder_tensors
from training.fit.config import TrainingConfig
from training.retrain.catalogue import merge_items, usable_records

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("ada", "eru", "Imo", "\u00f6ta")]


def record(item_id: str, **fields: object) -> ItemRecord:
    return ItemRecord.model_validate({"item_id": item_id, "updated_at": NOW, **fields})


def records(kinds: int, count: int, rng: np.random.Generator) -> list[ItemRecord]:
    """Items with words of so many kinds, stop words among them, and now and then a year."""

    def text(length: int) -> str:
        chosen = [f"{rng.choice(WORDS)}{number}" for number in rng.integers(0, kinds, length)]
        return ", the ".join([*chosen, chosen[0]])

    return [
        record(
            f"n{n:03d}",
            title=f"{text(2)}  ({1990 + n % 20})",
            description=f"{text(6)}.",
            categories=[f"Kind  {n % 3}", "Odd|even"][: n % 3],
            attributes={"year": (1990 + n % 20, 1990.0 + n % 20, "200x")[n % 3], "price": 2},
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(("kinds", "width"), [(1, 93), (30, 128)])
def test_texts_are_encoded_as_in_training(tmp_path: Path, kinds: int, width: int) -> None:
    put = records(kinds, 200, np.random.default_rng(0))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "items.tsv").write_text("item_id\ttitle\trelease\nold\tOld\t1990\n")
    merge_items(tmp_path / "data", tmp_path, usable_records(put))
    ids = [each.item_id for each in put]
    features = read_content(tmp_path, ids, read_items(tmp_path), ["text"], seed=0)
    encoder = TextEncoder.of(text_encoder_tensors(features))
    assert encoder is not None
    unknown = record("unknown", title="Nobody knows these", categories=["None"])
    made_XF = encoder.encode([*put, unknown])
    wanted_XF = features["text"].x_IF
    assert wanted_XF.shape[1] == width
    np.testing.assert_allclose(made_XF[:-1], wanted_XF, atol=1e-6)
    assert np.linalg.norm(wanted_XF, axis=1) == pytest.approx(1, abs=0.6)
    assert not made_XF[-1].any()
    assert [encoder.knows(x) for x in (put[0], unknown)] == [True, False]


@pytest.fixture(scope="module")
def of_texts(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model of the tiny data whose text features are made of titles and categories."""
    folder = tmp_path_factory.mktemp("texts")
    for name in ("tiny.inter", "picture_feat.npy"):
        (folder / name).symlink_to(tiny_data / name)
    rng = np.random.default_rng(1)  # so that no two items are equally similar to a third
    titles = [" ".join(rng.choice(WORDS[n % 2 :: 2], 5)) for n in range(40)]
    rows = [f"i{n:03d}\t{titles[n]}\t{('Tea', 'Wool')[n % 2]}" for n in range(40)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle\tcategories", *rows]) + "\n")
    config = TrainingConfig(
        max_epochs=2, embedding_dim=16, batch_size=64, negatives=16, held_out="unseen"
    )
    fit(DataConfig(folder=folder), config, folder / "artifact")
    return read_artifact(folder / "artifact")


def item_metadata(artifact: Artifact) -> StringTable:
    tensors = artifact.tensors
    return StringTable(tensors["item_metadata_blob"], tensors["item_metadata_offsets"])


def test_an_item_with_a_text_alone_is_as_if_it_had_been_in_training(of_texts: Artifact) -> None:
    tensors = dict(of_texts.tensors)
    assert tensors["item_popularity"][39] == 0
    content = tensors["item_content"].copy()
    content[39] = 0  # it is not its own neighbour
    tensors["item_content"] = content
    categories = CategoryMeans(tensors, {"Wool": np.arange(1, 40, 2)})
    encoder = ItemEncoder.of(of_texts.files, tensors, of_texts.manifest.modalities, categories)
    title = json.loads(item_metadata(of_texts)[39])["title"]
    fields = {"title": title, "categories": ["Wool"]}
    known, unknown = record("new", **fields), record("new", title="?", categories=["Wool"])
    sent = record("new", **fields, features={"picture": [1.0] * 8})
    assert [encoder.encoded_by(x) for x in (known, unknown, sent)] == [
        "encoder", "encoder", "features",
    ]  # fmt: skip
    nothing = record("new", title="?")
    made = encoder.encode([known, nothing, sent])
    assert made.by == ["encoder", "none", "features"]
    for name in ("item_embeddings", "item_routing", "item_bias"):
        assert made.arrays()[name][0] == pytest.approx(tensors[name][39], abs=1e-4), name
    text = of_texts.manifest.modalities.index("text")
    of_text = made.embeddings_XVMD[:, 0, text]
    assert of_text[0] == pytest.approx(tensors["item_embeddings"][39, 0, text], abs=1e-5)
    assert of_text[2] == pytest.approx(of_text[0], abs=1e-6), "texts complete what is sent"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text_idf": np.ones(3, dtype=np.float32)}, "have 3 frequencies"),
        ({"text_idf": None}, "tensor 'text_idf' is missing"),
    ],
)
def test_half_a_text_encoder_is_no_artifact(of_texts: Artifact, change, said: str) -> None:
    specs = dict(of_texts.manifest.tensors)
    for name, array in change.items():
        del specs[name]
        if array is not None:
            specs[name] = TensorSpec.of(array)
    with pytest.raises(ValueError, match=said):
        ArtifactManifest.model_validate(of_texts.manifest.model_dump() | {"tensors": specs})
