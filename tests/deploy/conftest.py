import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is published: sdist and wheel of the product, and of the client."""
    folder = tmp_path_factory.mktemp("dist")
    for project in (PROJECT, PROJECT / "client"):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder
