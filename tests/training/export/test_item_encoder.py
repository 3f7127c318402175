"""The exported item encoder: a new item is what the trained model makes of a cold one."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from model.artifact.files import Artifact, read_artifact
from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans, ColdItems
from model.runtime.item_encoder import ItemEncoder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLD = (38, 39)
"""Nobody has chosen them; the second has no picture."""


def record(**fields: object) -> ItemRecord:
    return ItemRecord.model_validate({"item_id": "new", "updated_at": NOW, **fields})


@pytest.fixture(scope="module")
def artifact(artifact_dir: Path) -> Artifact:
    return read_artifact(artifact_dir)


def encoder(artifact: Artifact, without: tuple[int, ...] = ()) -> ItemEncoder:
    """That of the artifact; some items are nobody's neighbours."""
    tensors = dict(artifact.tensors)
    content = tensors["item_content"].copy()
    content[list(without)] = 0
    tensors["item_content"] = content
    categories = CategoryMeans(tensors, {"Tea": np.arange(0, 40, 2)})
    made = ItemEncoder.of(artifact.files, tensors, artifact.manifest.modalities, categories)
    assert isinstance(made, ItemEncoder)
    return made


def encoded(artifact: Artifact, tiny_data: Path, row: int) -> ColdItems:
    vectors = {name: np.load(tiny_data / f"{name}_feat.npy")[row] for name in ("picture", "text")}
    features = {name: x.tolist() for name, x in vectors.items() if np.isfinite(x).all()}
    return encoder(artifact, without=(row,)).encode([record(features=features)])


@pytest.mark.parametrize("row", COLD)
def test_a_withheld_item_is_as_the_trained_model_has_it(artifact, tiny_data, row: int) -> None:
    assert artifact.tensors["item_popularity"][row] == 0
    made = encoded(artifact, tiny_data, row)
    assert made.by == ["features"]
    for name in ("item_embeddings", "item_routing", "item_bias"):
        assert made.arrays()[name][0] == pytest.approx(artifact.tensors[name][row], abs=1e-4), name
    alone = artifact.tensors["item_embeddings"][row, 0]  # without its neighbours' 16 bits
    assert made.embeddings_XVMD[0, 0] == pytest.approx(alone, abs=1e-5)


def test_neighbours_bring_behaviour_and_missing_content(artifact, tiny_data) -> None:
    made = encoded(artifact, tiny_data, 39)
    length_VM = np.linalg.norm(made.embeddings_XVMD[0], axis=-1)
    modalities = artifact.manifest.modalities
    assert length_VM[0, modalities.index("behaviour")] == 0
    assert length_VM[0, modalities.index("picture")] == 0
    assert (length_VM[1] > 0.1).all()
    assert np.linalg.norm(made.foldin_XVMD[0], axis=-1)[1].all(), "a session of it says something"


def test_features_that_do_not_fit_count_for_nothing(artifact) -> None:
    one = encoder(artifact)
    assert one.widths == {"picture": 8, "text": 8}
    records = [
        record(features={"text": [1.0] * 7}, categories=["Tea"]),
        record(features={"text": [0.0] * 8}, categories=["Wool"]),
        record(features={"text": [1.0] * 8}),
    ]
    assert one.encode(records).by == ["categories", "none", "features"]


def test_many_items_are_encoded_as_each_alone(artifact, tiny_data) -> None:
    features = np.load(tiny_data / "text_feat.npy")
    records = [record(features={"text": x.tolist()}) for x in np.tile(features, (15, 1))]
    one = encoder(artifact)
    together = one.encode(records)
    for place in (0, 511, 512, 599):
        alone = one.encode([records[place]])
        assert alone.embeddings_XVMD[0] == pytest.approx(together.embeddings_XVMD[place], abs=1e-5)
