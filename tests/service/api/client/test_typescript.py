"""The TypeScript client: generated from today's document, tested in Node against a real service."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli import VERSION
from tests.service.api.conftest import Service

PROJECT = Path(__file__).parents[4]
PACKAGE = PROJECT / "client" / "typescript"
PAGES = (PROJECT / "docs" / "how-to" / "typescript.md", PACKAGE / "README.md")
URL = "http://127.0.0.1:8000"
NO_NETWORK = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*words: str | Path, folder: Path = PACKAGE, **more: str) -> str:
    env = os.environ | {"NO_PROXY": "127.0.0.1", "npm_config_update_notifier": "false"} | more
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package() -> Path:
    """The package, with what its lock file names, built."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm (Debian: apt install nodejs npm)")
    major = int(run("node", "--version").lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"needs node 20 or newer, this is {major}")
    lock, installed = PACKAGE / "package-lock.json", PACKAGE / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)
        if done.returncode != 0 and NO_NETWORK.search(done.stderr):
            pytest.skip("npm cannot reach its registry")
        assert done.returncode == 0, done.stderr
    run("npm", "run", "build")
    return PACKAGE


@pytest.fixture
def service(films, redis_url, publish, serving, following, until) -> Iterator[Service]:
    publish(redis_url, films)
    with serving(following()) as service:
        until(service.ready)
        yield service


def test_its_types_are_those_of_the_document(package: Path) -> None:
    run("npm", "run", "current")  # if it fails: npm run generate


def test_it_is_released_with_the_product() -> None:
    about = json.loads((PACKAGE / "package.json").read_text())
    assert about["version"] == VERSION
    assert json.loads((PACKAGE / "package-lock.json").read_text())["version"] == VERSION
    assert (PACKAGE / "LICENSE").read_text() == (PROJECT / "LICENSE").read_text()


def test_it_asks_a_running_service(package: Path, service: Service) -> None:
    told = run("npm", "test", MAGNET_URL=str(service.base_url).rstrip("/"))
    assert "# fail 0" in told
    assert "# skipped 0" in told
    assert int(re.search(r"# pass (\d+)", told)[1]) >= 4


def test_what_the_documents_show_compiles_and_runs(
    package: Path, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").mkdir()
    for name, place in {
        "magnet-client": package,
        "@types": package / "node_modules/@types",
    }.items():
        (tmp_path / "node_modules" / name).symlink_to(place)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    blocks = [
        block for page in PAGES for block in re.findall(r"```ts\n(.*?)```", page.read_text(), re.S)
    ]
    assert len(blocks) >= 2
    names = [f"block{number}" for number in range(len(blocks))]
    for name, block in zip(names, blocks, strict=True):
        assert URL in block
        text = block.replace(URL, str(service.base_url).rstrip("/"))
        (tmp_path / f"{name}.ts").write_text(text)
    options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    files = [f"{name}.ts" for name in names]
    run(package / "node_modules" / ".bin" / "tsc", *options, *files, folder=tmp_path)
    for name in names:
        assert run("node", f"{name}.js", folder=tmp_path).strip()
