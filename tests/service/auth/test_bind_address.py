import pytest

from service.auth.authenticator import host_of_command
from service.ops.settings import is_local

APP = ["--factory", "service.app:create_app"]


@pytest.mark.parametrize(
    ("command", "host"),
    [
        (["/venv/bin/uvicorn", *APP], "127.0.0.1"),
        (["/venv/bin/uvicorn", *APP, "--host", "0.0.0.0", "--port", "1"], "0.0.0.0"),
        (["/lib/uvicorn/__main__.py", "--host=::", *APP], "::"),
        (["/venv/bin/uvicorn", *APP, "--uds", "/run/magnet"], None),
        (["/venv/bin/uvicorn", *APP, "--fd", "3", "--host", "0.0.0.0"], None),
        (["/venv/bin/uvicorn", "--no-such-option"], None),
        (["/venv/bin/pytest", "--host", "0.0.0.0"], None),
    ],
)
def test_the_command_line_says_where_uvicorn_listens(command: list[str], host: str | None) -> None:
    assert host_of_command(command) == host


def test_the_environment_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVICORN_HOST", "10.0.0.7")
    assert host_of_command(["uvicorn", *APP]) == "10.0.0.7"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("/run/magnet", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("fe80::1%eth0", False),
        ("shop.example", False),
        ("", False),
    ],
)
def test_who_can_connect(host: str, local: bool) -> None:
    assert is_local(host) is local
