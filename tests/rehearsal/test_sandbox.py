"""A sandbox holds what runs in it: as whom, with which rights, in sight of what."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rehearsal.sandbox import MACHINE, Bind, Sandbox, bare_layer

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if sys.platform != "linux" or done.returncode != 0:
        pytest.skip("namespaces need root on Linux")
    folder = tmp_path / "layer"
    bare_layer(folder)
    return folder


@pytest.fixture
def run(layer: Path, tmp_path: Path):
    def run(line: str, **options) -> subprocess.CompletedProcess[str]:
        sandbox = Sandbox(
            below=MACHINE,
            upper=layer,
            scratch=tmp_path / "scratch",
            environment=ENVIRONMENT,
            python=False,
            **options,
        )
        command = sandbox.command(["sh", "-c", line])
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_it_sees_no_more_than_programs(run, tmp_path: Path) -> None:
    assert run(f"ls {tmp_path}").returncode != 0
    assert run("ls /root /home /var /run").stdout.split() == ["/home:", "/root:", "/run:", "/var:"]
    assert run("echo $PATH $HOME").stdout.split() == [ENVIRONMENT["PATH"]]


def test_what_it_writes_stays_in_its_layer(run, layer: Path) -> None:
    assert run("mkdir -p /srv/made && echo a > /srv/made/b").returncode == 0
    assert not Path("/srv/made").exists()
    assert (layer / "srv" / "made" / "b").read_text() == "a\n"


def test_it_runs_as_told_without_rights(run) -> None:
    done = run("id -u; id -g; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status", uid=10001)
    assert done.stdout.split()[:2] == ["10001", "10001"]
    values = dict(line.split(":\t") for line in done.stdout.splitlines()[2:])
    assert values == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}


def test_a_read_only_root_has_its_mounts(run, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    binds = (
        Bind(source=volume, target="/data"),
        Bind(source=Path(__file__).parent, target="/config", read_only=True),
    )
    options = {"read_only": True, "tmpfs": ("/tmp",), "binds": binds}
    assert run("touch /tmp/a /data/b && ls /config/*.py", **options).returncode == 0
    assert (volume / "b").exists()
    for place in ("/etc/a", "/srv/a", "/config/a"):
        done = run(f"touch {place}", **options)
        assert "Read-only file system" in done.stderr


def test_its_first_process_is_number_one(run) -> None:
    assert run("echo $$").stdout.strip() == "1"
