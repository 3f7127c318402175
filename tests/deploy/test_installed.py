"""The wheels in a clean environment, without a checkout: `make release` runs this.

DIST names the folder of the wheels; without it they are built.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from deploy.cli import VERSION
from deploy.local.servers import HOST, free_port, get_json

PROJECT = Path(__file__).parents[2]

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(3600)]


@pytest.fixture(scope="session")
def bin_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `magnet` and `python` of an environment are that has the wheels and what they need."""
    named = os.environ.get("DIST")
    wheels = Path(named) if named else request.getfixturevalue("distributions")
    (product,) = wheels.glob("magnet_recommender-*.whl")
    (client,) = wheels.glob("magnet_client-*.whl")
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
    pip += ["-c", PROJECT / "constraints.txt", f"{product}[service,training,local]", client]
    subprocess.run(pip, check=True)
    return folder / "bin"


@pytest.fixture
def environment(bin_folder: Path) -> dict[str, str]:
    ours = {"PYTHONPATH", "REDIS_URL", "MAGNET_URL"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    path = f"{bin_folder}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1", "NO_PROXY": HOST}


@pytest.fixture
def magnet(environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run `magnet` in a folder that holds nothing of the project; returns what it prints."""

    def run(*words: str) -> str:
        done = subprocess.run(
            ["magnet", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def serving(environment: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def serve(*words: str, **more: str) -> Iterator[str]:
        """The address of a service, once it answers; Ctrl-C has to end it."""
        port, log = str(free_port()), tmp_path / f"{words[0]}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["magnet", *words, "--port", port],
                cwd=tmp_path,
                env=environment | more,
                stdout=out,
                stderr=out,
            )
        url, deadline = f"http://{HOST}:{port}", time.monotonic() + 300
        try:
            while not ready(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield url
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    return serve


def ready(url: str) -> bool:
    try:
        return bool(get_json(f"{url}/readyz"))
    except URLError:
        return False


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Customers of even numbers buy tea, the others wool."""
    lines = ["customer_id,product_id,product_name,ordered_at"]
    for user in range(40):
        for place in range(9):
            item = (user + 2 * place * (1 + user // 2)) % 30
            kind = ("Tea", "Wool")[item % 2]
            lines.append(f"c{user},p{item},{kind} {item},2026-03-{1 + place:02d}")
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_it_is_the_installed_one(
    bin_folder: Path, magnet: Callable[..., str], environment: dict[str, str]
) -> None:
    assert magnet("--version") == f"magnet {VERSION}\n"
    assert "examples:" in magnet("--help")
    code = "import service, magnet_client; print(service.__file__, magnet_client.__version__)"
    told = subprocess.check_output(
        [bin_folder / "python", "-c", code], env=environment, cwd="/", text=True
    )
    place, client = told.split()
    assert place.startswith(str(bin_folder.parent))
    assert client == VERSION


def test_from_a_file_to_a_served_list_step_by_step(
    magnet: Callable[..., str],
    serving: Callable[..., Any],
    orders: Path,
    redis_url: str,
    tmp_path: Path,
) -> None:
    magnet("import", str(orders), "--out", "shop")
    magnet("fit", "--data", "shop", "--out", "model", "--max-epochs", "2")
    magnet("publish", "model", "--redis-url", redis_url)
    with serving("serve", REDIS_URL=redis_url) as url:
        told = magnet("recommend", "c2", "--url", url, "--json")
        assert json.loads(told)["items"]
        for page in ("/", "/page/page.js", "/page/terms.json", "/docs", "/openapi.json"):
            assert subprocess.check_output(["curl", "-fs", "--noproxy", "*", url + page])


def test_run_serves_from_the_working_folder(
    magnet: Callable[..., str], serving: Callable[..., Any], orders: Path, tmp_path: Path
) -> None:
    magnet("import", str(orders), "--out", "shop")
    (tmp_path / "model.py").write_text("raise SystemExit('a file of the user, not ours')")
    with serving("run", "--data", "shop") as url:
        assert json.loads(magnet("recommend", "c2", "--url", url, "--json"))["items"]
        (state,) = (tmp_path / ".magnet").glob("running.json")
        assert json.loads(state.read_text())["data"] == str(tmp_path / "shop")
