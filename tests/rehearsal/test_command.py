"""The rehearsal's command line, and what it is made of, where nothing is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.command import IMPOSSIBLE, main
from tests.rehearsal.dockerfile import read_stages

PROJECT = Path(__file__).parents[2]


def test_help_tells_what_it_needs(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for word in ("docker-compose.yml", "root", "haproxy", "--data", "--user", "Grafana"):
        assert word in told


def test_what_is_missing_is_named(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == IMPOSSIBLE
    said = capsys.readouterr().err
    assert said.startswith("a rehearsal cannot be done here: ")
    assert "root" in said or "apt install dnsmasq-base haproxy" in said


def test_stages_of_the_dockerfile() -> None:
    stages = read_stages(PROJECT / "Dockerfile")
    assert {"base", "service", "trainer"} <= stages.keys()
    assert stages["service"].base == "base"
    last = stages["service"].instructions[-1]
    assert (last.name, last.words()[0]) == ("CMD", "magnet")
    healthcheck = [one for one in stages["service"].instructions if one.name == "HEALTHCHECK"]
    assert "readyz" in healthcheck[0].text, "a continued line is one instruction"


def test_a_stage_without_a_name_is_refused(tmp_path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python:3.11-slim\n")
    with pytest.raises(ValueError, match="has no name"):
        read_stages(path)


def test_the_module_runs() -> None:
    command = [sys.executable, "-m", "tests.rehearsal", "--help"]
    assert subprocess.run(command, cwd=PROJECT, capture_output=True, check=False).returncode == 0
