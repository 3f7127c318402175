"""docs/tutorial.md as a newcomer follows it, from the wheel, in an empty folder."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.servers import HOST, free_port
from tests.waiting import PATIENCE_SECONDS, until

PROJECT = Path(__file__).parents[2]
DOCUMENT = (PROJECT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
URL = "http://127.0.0.1:8000"
RUN = "magnet run --data shop-data\n"


class Newcomer:
    """Somebody at two terminals."""

    def __init__(self, folder: Path, packages: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        # The page says that the environment is active; the default port may be taken here.
        self.env |= {"PYTHONPATH": str(packages), "PORT": str(port), "MAGNET_URL": self.url}
        self.env |= {"OMP_NUM_THREADS": "1", "NO_PROXY": HOST}
        python = f'"{sys.executable}" -P'
        self.typed = (
            f'set -e\nmagnet() {{ {python} -m deploy.cli "$@"; }}\npython() {{ {python} "$@"; }}\n'
            'curl() { command curl --fail-with-body "$@"; echo; }\n'
        )

    def types(self, block: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.typed + block.replace(URL, self.url)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    def leaves_running(self, seconds: float) -> subprocess.Popen[bytes]:
        """Type `RUN` and wait as the page says."""
        log = self.folder / "terminal.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.cli", *RUN.split()[1:]],
                cwd=self.folder,
                env=self.env,
                stdout=out,
                stderr=out,
            )

        def said() -> bool:
            return "training is finished" in log.read_text() or process.poll() is not None

        until(said, seconds, failure=log.read_text)
        assert process.poll() is None, log.read_text()
        return process


@pytest.fixture
def newcomer(tmp_path: Path, unpacked: Path) -> Newcomer:
    return Newcomer(tmp_path, unpacked)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_runs_as_it_is_written(newcomer: Newcomer) -> None:
    place = BLOCKS.index(RUN)
    files, imported = (newcomer.types(block) for block in BLOCKS[:place])
    assert files in "".join(re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL))
    assert "300 kept" in imported
    assert "order_id" in imported
    running = newcomer.leaves_running(seconds=300)
    try:
        told = [newcomer.types(block) for block in BLOCKS[place + 1 :]]
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE_SECONDS) == 0
    finally:
        running.kill()
        running.wait()
    listed, explained, unknown, clicked, added, retrained = told
    assert listed.count("baking-") >= 2
    assert "Because you" in listed
    assert {"behaviour", "text"} <= set(explained.split())
    assert "user 'visitor' is not known" in unknown
    assert '"accepted":1' in clicked
    assert "Because you liked Merino 4-ply" in clicked
    assert clicked.count("yarn-") >= 3
    assert added.count("Calligraphy set") >= 2  # `similar` names it once
    assert "paper-" in added
    assert "promoted" in retrained
    assert '"num_items":49' in retrained
