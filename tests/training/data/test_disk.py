"""Which faults are put down to a full disk."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.data.disk import DiskFullError, check_room, full_disk_explained
from training.errors import ExplainedError


@pytest.fixture
def free_bytes(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the disk says that it has left; plenty at first."""
    disk = SimpleNamespace(free=10**9)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    return disk


@pytest.mark.usefixtures("free_bytes")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_the_system_says(number: int, tmp_path: Path) -> None:
    expected = pytest.raises(DiskFullError, match=f"the disk of {tmp_path} is full")
    with expected, full_disk_explained(tmp_path, "make room"):
        raise OSError(number, "no room")


def test_what_a_library_says_while_nothing_is_left(
    free_bytes: SimpleNamespace, tmp_path: Path
) -> None:
    free_bytes.free = 4096
    expected = pytest.raises(DiskFullError, match="file write failed")
    with expected, full_disk_explained(tmp_path / "not" / "there", "make room"):
        raise RuntimeError("file write failed")


def test_other_faults_stay_what_they_are(free_bytes: SimpleNamespace, tmp_path: Path) -> None:
    for error in (RuntimeError("file write failed"), OSError(errno.EACCES, "not yours")):
        with pytest.raises(type(error)) as caught, full_disk_explained(tmp_path, "make room"):
            raise error
        assert caught.value is error
    free_bytes.free = 0
    with pytest.raises(ExplainedError) as lost, full_disk_explained(tmp_path, "make room"):
        raise ExplainedError("lost the lock")
    assert not isinstance(lost.value, DiskFullError)


def test_room_is_looked_for_before_work(free_bytes: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    check_room(folder, 10**9)
    assert list(folder.iterdir()) == []
    free_bytes.free = 2_000_000
    with pytest.raises(DiskFullError, match=r"2\.0 MB left, and at least 3\.5 MB are needed"):
        check_room(folder, 3_500_000)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_room(tmp_path / "file" / "in", 1)
