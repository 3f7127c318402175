"""A small shop with two planted tastes, and models trained on it by the real command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[2]
NUM_USERS, NUM_ITEMS, HISTORY = 48, 36, 12


def write_shop(folder: Path) -> Path:
    """Even users like even items, odd users odd ones; texts and titles tell the two apart.

    Ids hold what a URL and a shell must quote.
    """
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = ["user_id\titem_id\ttimestamp"]
    for user in range(NUM_USERS):
        liked = rng.permutation(np.arange(user % 2, NUM_ITEMS, 2))[:HISTORY]
        lines += [f"kündin {user}\ti'{item}\t{time}" for time, item in enumerate(liked.tolist())]
    (folder / "shop.inter").write_text("\n".join(lines) + "\n")
    titles = [f"{('Wool', 'Tea')[item % 2]} no. {item}" for item in range(NUM_ITEMS)]
    rows = [f"i'{item}\t{title}" for item, title in enumerate(titles)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle", *rows]) + "\n")
    taste = np.eye(2)[np.arange(NUM_ITEMS) % 2].repeat(4, axis=1)
    features = taste + 0.3 * rng.normal(size=taste.shape)
    np.save(folder / "text_feat.npy", features.astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop") / "data")


@pytest.fixture(scope="session")
def fitted(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Train with a seed, once per seed."""
    folder = tmp_path_factory.mktemp("fitted")

    def fit(seed: int) -> Path:
        artifact = folder / f"seed-{seed}"
        if not artifact.exists():
            command = [sys.executable, "-m", "deploy.cli", "fit", "--data", shop, "--out", artifact]
            command += ["--max-epochs", "3", "--seed", str(seed)]
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        return artifact

    return fit
