"""deploy/secrets.sh: what it makes opens what it should, and is made once."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from service.auth.authenticator import Authenticator
from service.ops.metrics import Metrics
from service.schemas.errors import Forbidden

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(PROJECT / "deploy" / "secrets.sh", folder / "deploy")
    return folder


def make(checkout: Path) -> dict[str, str]:
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=checkout, check=True, capture_output=True)
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_keys_open_what_their_name_says(checkout: Path) -> None:
    secrets = make(checkout)
    file = checkout / ".keys" / "keys.txt"
    authenticator = Authenticator(Metrics(), file=file, requests_per_second=1000)
    allowed = {"CLIENT": {"read", "feedback"}, "ADMIN": {"read", "admin"}, "METRICS": {"metrics"}}
    for name, scopes in allowed.items():
        secret = secrets[f"MAGNET_{name}_KEY"]
        for scope in scopes:
            authenticator.admit(scope, secret=secret, host="10.0.0.1")
        for scope in {"read", "feedback", "admin", "metrics"} - scopes:
            with pytest.raises(Forbidden):
                authenticator.admit(scope, secret=secret, host="10.0.0.1")


def test_what_is_there_stays(checkout: Path) -> None:
    first = make(checkout)
    assert len(set(first.values())) == len(first) == 7
    assert make(checkout) == first


def test_secrets_are_for_their_owner_and_hashes_for_the_service(checkout: Path) -> None:
    make(checkout)
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((checkout / ".keys").stat().st_mode) == 0o755
    assert stat.S_IMODE((checkout / ".keys" / "keys.txt").stat().st_mode) == 0o644
    assert "mgk_" not in (checkout / ".keys" / "keys.txt").read_text()


def test_what_it_makes_is_never_committed() -> None:
    for name in (".env", ".keys/keys.txt"):
        done = subprocess.run(["git", "check-ignore", name], cwd=PROJECT, check=False)
        assert done.returncode in (0, 128), name  # 128: not a checkout
