"""A secret that is told fails the test, wherever it is told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import FORMS, MARK

PROJECT = Path(__file__).parents[1]
TOLD = f"""
import base64, logging, subprocess, sys
import click, httpx2, pytest
from click.testing import CliRunner
from service.auth.keys import ApiKey

SECRET = "x{MARK}-1"

def test_silent(tmp_path, capsys):
    (tmp_path / "state.sqlite").write_text(SECRET)
    assert capsys.readouterr() == ("", "")

def test_printed():
    print(SECRET)

def test_printed_and_read(capsys):
    print(SECRET)
    capsys.readouterr()

def test_logged():
    logging.getLogger("service.store").warning("no %s", SECRET)

def test_logged_with_an_error():
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("service").exception("failed")

def test_answered():
    httpx2.Response(200, stream=httpx2.ByteStream(SECRET.encode())).read()

def test_in_a_header():
    httpx2.Response(200, headers={{"x-y": SECRET}}, stream=httpx2.ByteStream(b"")).read()

def test_by_a_command():
    CliRunner().invoke(click.Command("x", callback=lambda: click.echo(SECRET)))

def test_by_a_process():
    subprocess.run([sys.executable, "-c", f"print('{{SECRET}}')"], capture_output=True)

def test_by_a_process_to_this_one(capfd):
    subprocess.run([sys.executable, "-c", f"print('{{SECRET}}')"])

def test_written(tmp_path):
    (tmp_path / "report.html").write_text(SECRET)

def test_a_key_that_was_made():
    print(ApiKey.new("a", ["read"])[1])

def test_in_hex():
    print(SECRET.encode().hex())

@pytest.mark.parametrize("before", [0, 1, 2])
def test_in_base64(before):
    print(base64.b64encode(before * b"." + SECRET.encode()).decode())

@pytest.mark.shows_a_secret
def test_shown():
    print(SECRET)
"""


@pytest.mark.shows_a_secret
def test_whatever_tells_a_secret_fails(tmp_path: Path) -> None:
    path, report = tmp_path / "test_told.py", tmp_path / "report"
    path.write_text(TOLD)
    command = [sys.executable, "-m", "pytest", "-q", "-rE", "-p", "tests.planted"]
    with report.open("w") as stdout:
        subprocess.run(
            [*command, "-c", "/dev/null", "--rootdir", str(tmp_path), str(path)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=stdout,
            check=False,
        )
    told = report.read_text()
    failed = set(re.findall(r"^ERROR \S+::(\S+)", told, re.MULTILINE))
    tests = set(re.findall(r"def (test_\w+)", TOLD)) - {"test_silent", "test_shown"}
    tests = tests - {"test_in_base64"} | {f"test_in_base64[{place}]" for place in range(3)}
    assert failed == tests, told


def test_forms_are_long_enough_not_to_be_met_by_chance() -> None:
    assert all(len(form) >= 6 for form in FORMS)
