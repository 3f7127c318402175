"""docs/own-data.md: its commands do what it says, its tables are whole, its mapping is one."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.ingest.mapping import InteractionMapping, ItemMapping, Mapping, UserMapping

DOCUMENT = (Path(__file__).parents[3] / "docs" / "own-data.md").read_text()
QUICK = "--max-epochs 2 --embedding-dim 8 --batch-size 64"


def block(title: str) -> str:
    found = re.search(rf'```\w+ title="{title}"\n(.*?)```', DOCUMENT, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """More of what the document shows the beginning of."""
    folder = tmp_path / "export"
    (folder / "photos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    orders = block("export/orders.csv")
    for user in range(40):
        for item in rng.permutation(np.arange(user % 2, 30, 2))[:9]:
            day = int(rng.integers(1, 29))
            stars = rng.choice(["3,5", "4,5", "5,0"])
            orders += f"c {100 + user};thing/{item};{stars};2024-04-{day:02d}T08:00:00Z\n"
    (folder / "orders.csv").write_text(orders)
    products = [json.loads(line) for line in block("export/products.jsonl").splitlines()]
    for item in range(30):
        kind = ("Tea", "Wool")[item % 2]
        product = dict(zip(products[0], (f"thing/{item}", f"{kind} {item}", kind), strict=False))
        products.append(product | {"description": f"Good {kind}", "image": f"photos/{item}.png"})
        Image.new("RGB", (8, 8), ("green", "blue")[item % 2]).save(folder / f"photos/{item}.png")
    lines = (json.dumps(product) + "\n" for product in products)
    (folder / "products.jsonl").write_text("".join(lines))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_commands_lead_from_files_to_a_model(export: Path, tmp_path: Path) -> None:
    commands = "".join(re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL))
    commands = commands.replace("--out shop-model", f"--out shop-model {QUICK}")
    done = subprocess.run(
        ["bash", "-ec", f'magnet() {{ "{sys.executable}" -m deploy.cli "$@"; }}\n{commands}'],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    guessed = (tmp_path / "my.toml").read_text()
    assert '[interactions]\nfiles = ["orders.csv"]\nuser = "Customer ID"' in guessed
    assert "next: magnet run --data shop" in done.stdout
    assert "32 have title" in done.stdout
    assert "30 have a picture" in done.stdout
    assert "2 name a picture that is not there" in done.stdout
    assert "32 items have content (32 newly encoded)" in done.stderr
    assert "ndcg@20" in done.stderr
    page = (tmp_path / "shop.html").read_text()
    assert "Import of shop" in page
    assert "http" not in page
    summary = json.loads((tmp_path / "shop" / "import.json").read_text())
    assert summary["interactions"]["kept"] == 363
    assert summary["months"] == {"2024-03": 3, "2024-04": 360}


def test_its_mapping_is_one() -> None:
    Mapping.model_validate(tomllib.loads(block("my.toml")))


def test_it_lists_every_key() -> None:
    models = (Mapping, InteractionMapping, ItemMapping, UserMapping)
    keys = {key for model in models for key in model.model_fields}
    listed = set(re.findall(r"`([a-z_]+)`", DOCUMENT)) | {"interactions", "items", "users"}
    assert len(keys) > 20
    assert keys - listed == set()


def test_it_lists_every_reason() -> None:
    folder = Path(__file__).parents[3] / "training" / "ingest"
    names = ("rejects", "tables", "items", "formats")
    code = "".join((folder / f"{name}.py").read_text() for name in names)
    reasons = set(
        re.findall(r'Check\("([^"{]+)"|"(?:rating|event|timestamp|label)", "([^"]+)"\)', code)
    )
    flat = {one or other for one, other in reasons}
    flat |= set(
        re.findall(r'^(?:WRONG_FIELDS|BROKEN_QUOTES|NOT_AN_OBJECT|AGAIN) = "(.+)"', code, re.M)
    )
    assert len(flat) >= 8
    assert {reason for reason in flat if f"`{reason}`" not in DOCUMENT} == set()
