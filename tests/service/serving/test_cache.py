from pathlib import Path

import numpy as np
import pytest

from model.artifact.files import Artifact
from model.artifact.stored import PER_USER
from service.serving.cache import KEPT_VERSIONS, ModelCache

PROBE_USERS = {"golden": np.ones((2, 3), np.float32), "sampled": np.zeros((1, 3), np.float32)}


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache", "shop", left_out=PER_USER)


def keep(cache: ModelCache, artifact: Artifact) -> None:
    with cache.writing(artifact.manifest) as folder:
        for name, array in artifact.tensors.items():
            if name not in PER_USER:
                np.save(folder / f"{name}.npy", array)
        for name, data in artifact.files.items():
            (folder / name).write_bytes(data)


def test_what_is_kept_is_read_again_mapped_and_without_users(cache, artifact) -> None:
    assert cache.read("v1") is None
    keep(cache, artifact)
    model = cache.read("v1")
    assert model is not None
    assert model.manifest == artifact.manifest
    assert model.tensors.keys() == artifact.tensors.keys() - set(PER_USER)
    for name, array in model.tensors.items():
        assert isinstance(array, np.memmap)
        assert np.array_equal(array, artifact.tensors[name])
    assert model.files == artifact.files


def test_a_damaged_version_is_removed(cache, artifact, tmp_path, caplog) -> None:
    keep(cache, artifact)
    file = tmp_path / "cache" / "shop" / "v1" / "item_bias.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert cache.read("v1") is None
    assert "'item_bias' is damaged" in caplog.text
    assert not file.parent.exists()


def test_a_write_that_was_killed_leaves_nothing_to_read_and_is_cleared(
    cache, artifact, tmp_path
) -> None:
    torn = cache.writing(artifact.manifest)
    np.save(torn.__enter__() / "item_bias.npy", artifact.tensors["item_bias"])
    assert cache.read("v1") is None
    keep(cache, artifact)
    assert cache.read("v1") is not None
    assert [path.name for path in (tmp_path / "cache" / "shop").iterdir()] == ["v1"]


def test_the_last_good_version_comes_with_its_probe_users(cache, artifact, make_artifact) -> None:
    assert cache.last_good() is None
    keep(cache, artifact)
    assert cache.last_good() is None  # kept is not yet served
    cache.remember("v1", PROBE_USERS)
    keep(cache, make_artifact("v2", 2))
    kept = cache.last_good()
    assert kept is not None
    model, probe_users = kept
    assert model.manifest.model_version == "v1"
    assert {name: array.tolist() for name, array in probe_users.items()} == {
        name: array.tolist() for name, array in PROBE_USERS.items()
    }
    cache.remember("v2", PROBE_USERS)
    kept = cache.last_good()
    assert kept is not None
    assert kept[0].manifest.model_version == "v2"


def test_only_the_latest_versions_stay(cache, make_artifact, tmp_path) -> None:
    for number in range(KEPT_VERSIONS + 2):
        keep(cache, make_artifact(f"v{number}", number))
        cache.remember(f"v{number}", PROBE_USERS)
    kept = {path.name for path in (tmp_path / "cache" / "shop").glob("v*")}
    assert len(kept) == KEPT_VERSIONS
    assert f"v{KEPT_VERSIONS + 1}" in kept
    assert "v0" not in kept
