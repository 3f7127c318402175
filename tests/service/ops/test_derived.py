"""What follows from a model is made once for a machine, and made again if it is damaged."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from service.ops.derived import kept_in

ARRAYS = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.empty(0, dtype=np.uint8)}


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.asked += 1
        return dict(ARRAYS)


@pytest.fixture
def make() -> Maker:
    return Maker()


def check(found: dict[str, np.ndarray]) -> None:
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_it_is_made_once_and_mapped(make, tmp_path: Path) -> None:
    for _ in range(3):
        found = kept_in(tmp_path)("x-1", make)
        check(found)
        assert isinstance(found["a"].base.base, mmap.mmap)
        assert type(found["a"]) is np.ndarray
    assert make.asked == 1
    check(kept_in(tmp_path)("x-2", make))
    assert make.asked == 2


@pytest.mark.parametrize("damage", ["a byte", "a file", "the checksum"])
def test_what_is_damaged_is_made_again(make, tmp_path: Path, damage: str) -> None:
    kept_in(tmp_path)("x-1", make)
    file = tmp_path / "x-1" / "a.npy"
    if damage == "a byte":
        file.write_bytes(file.read_bytes()[:-1] + b"\x77")
    elif damage == "a file":
        file.unlink()
    else:
        (tmp_path / "x-1" / "checksum").unlink()
    for _ in range(2):
        check(kept_in(tmp_path)("x-1", make))
    assert make.asked == 2


def test_without_a_place_it_is_made_each_time(make, tmp_path: Path) -> None:
    check(kept_in(None)("x-1", make))
    (tmp_path / "x-1").write_text("no folder")
    for _ in range(2):
        check(kept_in(tmp_path)("x-1", make))
    assert make.asked == 3
