"""Every `sh` and `python` block of the documentation that asks a service is answered by one.

Commands of other blocks: tests/docs/test_commands.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.artifact.files import Artifact
from model.artifact.manifest import TensorSpec
from model.artifact.tables import IdTable, StringTable

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
URL = "http://127.0.0.1:8000"
PAGES = [*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md"), PROJECT / "README.md"]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted(PAGES)
    for number, block in enumerate(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    if URL in block
]
PROGRAMS = [
    pytest.param(block, id=f"{page.parent.name}-{number}")
    for page in [PROJECT / "README.md", PROJECT / "client" / "README.md", DOCS / "how-to/python.md"]
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.fixture(scope="module")
def films(make_artifact: Callable[..., Artifact]) -> Artifact:
    """A model with ids and categories that the documents speak of, which are MovieLens's."""
    artifact = make_artifact("films", 1, num_items=200)
    num_users, num_items = artifact.manifest.num_users, artifact.manifest.num_items
    tables = {
        "user_ids": IdTable.of(sorted(str(user) for user in range(num_users))),
        "item_ids": IdTable.of(sorted(str(item) for item in range(num_items))),
        "item_metadata": StringTable.of(
            json.dumps(
                {
                    "title": f"Film {item}",
                    "year": 1990 + item % 10,
                    "categories": [("Comedy", "Drama")[item % 2]],
                }
            )
            for item in range(num_items)
        ),
    }
    arrays = {f"{name}_blob": table.blob for name, table in tables.items()}
    arrays |= {f"{name}_offsets": table.offsets for name, table in tables.items()}
    specs = {name: TensorSpec.of(array) for name, array in arrays.items()}
    manifest = artifact.manifest.model_copy(update={"tensors": artifact.manifest.tensors | specs})
    return replace(artifact, manifest=manifest, tensors=artifact.tensors | arrays)


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
        assert answer.get("items", "no list") != []
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
