import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from training.data.tables import DataError
from training.encode.encoders import EncoderError
from training.encode.folder import (
    VectorCache,
    carry_over,
    check_ours,
    check_target,
    open_cache,
    principal_components,
    write_features,
)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    with open_cache(tmp_path / "cache") as opened:
        opened.add([b"tea", b"wool"], np.array([[1, 2, 3], [4, 5, 6]], np.float32))
        yield opened


def filled(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"{name} of {folder.name}")
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_features_are_rows_and_nan_where_missing(tmp_path: Path, cache: VectorCache) -> None:
    path = tmp_path / "text_feat.npy"
    assert write_features(path, [b"wool", None, b"tea"], cache) == [3, 3]
    features = np.load(path)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [[4, 5, 6], [np.nan] * 3, [1, 2, 3]])
    assert names_in(tmp_path) == {"cache", "text_feat.npy"}


def test_features_of_somebody_else_are_not_overwritten(tmp_path: Path, cache: VectorCache) -> None:
    path = tmp_path / "text_feat.npy"
    check_ours(path, cache)
    write_features(path, [b"tea"], cache)
    check_ours(path, cache)
    np.save(path, np.ones((1, 3)))
    with pytest.raises(DataError, match="move it away"):
        check_ours(path, cache)


def test_everything_that_training_reads_is_carried_over(tmp_path: Path) -> None:
    data = filled(
        tmp_path / "data",
        "a.inter",
        "items.tsv",
        "a.kg",
        "a.link",
        "sound_feat.npy",
        "text_feat.npy",
    )
    out = filled(tmp_path / "out", "items.tsv", "text_feat.npy")
    os.utime(data / "items.tsv", (1_000_000_000, 1_000_000_000))
    carry_over(data, out)
    assert (out / "items.tsv").stat().st_mtime == 1_000_000_000, "as old as what it says"
    assert names_in(out) == names_in(data)
    assert (out / "items.tsv").read_text() == "items.tsv of data"
    assert (out / "text_feat.npy").read_text() == "text_feat.npy of out"


def test_a_folder_may_be_its_own_target(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "a.inter", "items.tsv")
    check_target(data, data)
    carry_over(data, data)
    assert (data / "a.inter").read_text() == "a.inter of data"


def test_a_target_with_other_data_is_refused(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "a.inter", "items.tsv")
    out = filled(tmp_path / "out", "b.inter")
    with pytest.raises(DataError, match=r"b\.inter"):
        check_target(data, out)


def test_a_target_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "items.tsv")
    with pytest.raises(DataError, match="--out"):
        check_target(data, data / "items.tsv" / "out")


def test_two_components_hold_what_varies_in_two_directions() -> None:
    rng = np.random.default_rng(0)
    hidden_N2 = rng.normal(size=(200, 2)) * (5.0, 1.0)
    axes_2F, _ = np.linalg.qr(rng.normal(size=(10, 2)))
    vectors = [*(hidden_N2 @ axes_2F.T + 3.0).astype(np.float32)]
    project = principal_components(vectors, 2)
    found_NP = np.stack([project(vector_F) for vector_F in vectors])
    assert found_NP.dtype == np.float32
    centred_N2 = hidden_N2 - hidden_N2.mean(axis=0)
    np.testing.assert_allclose(  # distances are kept, and nothing else is to be told
        found_NP @ found_NP.T, centred_N2 @ centred_N2.T, atol=1e-3
    )
    assert found_NP[:, 0].var() > found_NP[:, 1].var()


@pytest.mark.parametrize("shape", [(3, 10), (10, 3)])
def test_more_components_than_there_can_be(shape: tuple[int, int]) -> None:
    with pytest.raises(EncoderError, match="--pca 3 at most"):
        principal_components([*np.ones(shape, np.float32)], 4)
