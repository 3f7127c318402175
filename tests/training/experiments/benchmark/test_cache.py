from pathlib import Path

import pytest

from training.experiments.benchmark import cache
from training.experiments.benchmark.cache import sources_digest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_ROOT", tmp_path)
    for name, text in {
        "training/__init__.py": "",
        "training/top.py": "import numpy\nfrom training.parts import piece\n",
        "training/parts/__init__.py": "",
        "training/parts/piece.py": "import model.deep\n",
        "training/other.py": "1\n",
        "model/deep.py": "x = 1\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "file",
    ["training/top.py", "training/parts/piece.py", "training/parts/__init__.py", "model/deep.py"],
)
def test_a_change_of_what_runs_changes_the_digest(root: Path, file: str) -> None:
    before = sources_digest("training.top")
    (root / file).write_text((root / file).read_text() + "# changed\n")
    assert sources_digest("training.top") != before


def test_a_change_of_what_does_not_run_does_not(root: Path) -> None:
    before = sources_digest("training.top")
    (root / "training/other.py").write_text("2\n")
    assert sources_digest("training.top") == before


def test_the_trainer_runs_the_model() -> None:
    assert sources_digest("training.fit.trainer") != sources_digest(
        "training.fit.trainer", "training.cli.config"
    )
    assert sources_digest("training.fit.trainer") == sources_digest(
        "training.fit.trainer", "model.network.magnet"
    )
