"""The proxy's configuration, as far as HAProxy itself can tell; `make rehearse` runs it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.ops.settings import Settings

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"


def test_haproxy_accepts_it_without_a_warning() -> None:
    program = shutil.which("haproxy", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("haproxy is not installed (Debian, Ubuntu: apt install haproxy)")
    done = subprocess.run(
        [program, "-c", "-f", CONFIG], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_it_waits_longer_than_the_service_takes_to_give_up() -> None:
    waits = re.search(r"timeout server (\d+)s", CONFIG.read_text())
    assert waits is not None
    assert int(waits[1]) > Settings.model_fields["request_timeout_seconds"].default


def test_its_own_answers_are_problem_documents() -> None:
    texts = re.findall(r"status (\d+).* string '(.+?)'", CONFIG.read_text())
    assert [int(status) for status, _ in texts] == [502, 503, 504, 404]
    for status, text in texts:
        problem = json.loads(text)
        assert problem["status"] == int(status)
        assert problem["detail"].endswith(".")
