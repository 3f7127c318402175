"""Every `sh` and `python` block of the documentation that asks a service is answered by one.

Those of the tutorial: tests/deploy/test_tutorial.py. Commands of other blocks:
tests/docs/test_commands.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
URL = "http://127.0.0.1:8000"
PAGES = [*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md"), PROJECT / "README.md"]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted(PAGES)
    for number, block in enumerate(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    if URL in block and page.stem != "tutorial"
]
PROGRAMS = [
    pytest.param(block, id=f"{page.parent.name}-{number}")
    for page in [PROJECT / "README.md", PROJECT / "client" / "README.md", DOCS / "how-to/python.md"]
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("block", BLOCKS)
def test_it_is_answered(block, films, redis_url, publish, serving, following, until) -> None:
    publish(redis_url, films)
    with serving(following()) as service:
        until(service.ready)
        commands = block.replace(URL, str(service.base_url).rstrip("/"))
        assert commands != block, "it asks another address than the documented one"
        told = "curl() { command curl --fail-with-body --noproxy '*' \"$@\"; }\nset -e\n"
        done = subprocess.run(
            ["bash", "-c", told + commands], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = done.stdout.replace("}{", "}\n{").splitlines()
    assert len(answers) == len(re.findall(r"^curl ", commands, re.MULTILINE))
    for answer in map(json.loads, answers):
        assert answer.get("items", "no list") or answer["left_out"]
        missing = answer.get("missing_ids", [])
        assert [each for each in missing if not each.startswith("visitor-")] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs(program, films, redis_url, publish, serving, following, until) -> None:
    publish(redis_url, films)
    env = os.environ | {"PYTHONPATH": str(PROJECT / "client"), "NO_PROXY": "127.0.0.1"}
    with serving(following()) as service:
        until(service.ready)
        text = program.replace(URL, str(service.base_url).rstrip("/"))
        assert text != program, "it asks another address than the documented one"
        done = subprocess.run(
            [sys.executable, "-c", text], env=env, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
