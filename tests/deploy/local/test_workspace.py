"""Where things lie, one launcher at a time, and when a model may be used again."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.workspace import Workspace, WorkspaceBusy

PROJECT = Path(__file__).parents[3]
CLAIM = """
import sys
from pathlib import Path
from deploy.local.workspace import Workspace
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


def test_what_is_known_of_users_stays_with_their_data(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    sample, shop = (workspace.valkey(data) for data in (workspace.sample, tmp_path / "shop"))
    assert not sample.is_relative_to(shop)
    assert not shop.is_relative_to(sample)
