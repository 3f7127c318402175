"""Building the compiled functions."""

import shutil
from pathlib import Path

import pytest

from model.runtime.native import build, kernels


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    return tmp_path


def test_it_is_built_once_and_what_is_stale_goes(elsewhere: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    (elsewhere / "kernels-0123.so").write_bytes(b"of another source")
    made = build.build()
    assert [*elsewhere.iterdir()] == [made]
    written = made.stat().st_mtime_ns
    assert build.build() == made
    assert made.stat().st_mtime_ns == written
    assert isinstance(kernels.Kernels(str(made)), kernels.Kernels)


def test_without_a_compiler_it_says_what_to_do(elsewhere, monkeypatch, capsys) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(elsewhere))
    assert build.main() == 1
    assert "apt install gcc" in capsys.readouterr().err


def test_a_source_that_cannot_be_compiled_leaves_nothing(elsewhere, monkeypatch, capsys) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    source = elsewhere / "kernels.c"
    source.write_text("int nothing(void) { return missing; }")
    monkeypatch.setattr(build, "SOURCES", [source])
    assert build.main() == 1
    assert "missing" in capsys.readouterr().err
    assert [*elsewhere.iterdir()] == [source]


def test_without_a_library_there_are_no_kernels(elsewhere: Path) -> None:
    kernels._loaded.cache_clear()
    assert kernels._loaded() is None
    kernels._loaded.cache_clear()
