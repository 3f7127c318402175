"""Every test looks for secrets in what the product tells: a plugin of pytest.

Passwords, API keys and the pseudonyms' key that the product gets in tests hold a mark. Whatever it
prints, logs, answers or writes during a test is searched for that, also in hex and in base64; a
test that finds it fails. A test that wants a secret shown says so: `@pytest.mark.shows_a_secret`.
"""

import base64
import logging
import secrets
import subprocess
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click.testing
import httpx2
import pytest
from _pytest.capture import CaptureFixture

from service.auth import keys
from service.ops import pseudonyms
from service.ops.logs import LineFormatter
from service.store import erasures
from tests.files import contents

MARK = "pl4nt3d"
PASSWORD = f"{MARK}-password"
LOGIN = f"default:{PASSWORD}"
"""A server whose default user has no password takes any."""
_MOST_BYTES = 2**20
_OWN_FILES = (
    *("state.sqlite*", "*.conf", "*.toml", "*.env", ".env", "users.acl"),
    *("appendonly.aof.*", "*.rdb"),
)
"""Where a secret may stand: what tests configure, and what the service and Redis keep."""


def _forms(mark: bytes) -> Iterator[bytes]:
    yield mark
    yield mark.hex().encode()
    for place in range(3):  # base64 of a longer text: the digits that the mark alone decides
        digits = base64.b64encode(bytes(place) + mark)
        yield digits[(place * 8 + 5) // 6 : (place + len(mark)) * 8 // 6]


FORMS = tuple(_forms(MARK.encode()))


class Watch(logging.Handler):
    """What has been told during the present test, and holds the mark."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.found: list[str] = []

    def look(self, where: str, told: Any) -> None:
        """Search what was told; None and the like hold nothing."""
        raw = told if isinstance(told, bytes) else str(told).encode(errors="replace")
        places = [place for form in FORMS if (place := raw.find(form)) >= 0]
        if places:
            around = raw[max(0, places[0] - 80) : places[0] + 40]
            self.found.append(f"{where}: {around!r}")

    def emit(self, record: logging.LogRecord) -> None:
        """Search a line of the log."""
        self.look("the log", self.format(record))


_WATCH = Watch()


def _searched(where: str, method: Callable[..., Any], parts: Callable[[Any, Any], Any]) -> Any:
    """A method whose outcome is searched; `parts` takes the object and the outcome."""

    @wraps(method)
    def told(self: Any, *arguments: Any, **options: Any) -> Any:
        outcome = method(self, *arguments, **options)
        _WATCH.look(where, parts(self, outcome))
        return outcome

    return told


def _answer(response: httpx2.Response, body: bytes) -> bytes:
    return repr(response.headers.raw).encode() + body


def _invoked(_: object, result: click.testing.Result) -> str:
    return f"{result.output} {result.stderr} {result.exception!r}"


def _replaced() -> Iterator[Any]:
    """What tests read of what was told, and what makes secrets."""
    for owner, name, where, parts in (
        (httpx2.Response, "read", "an answer", _answer),
        (CaptureFixture, "readouterr", "the output", lambda _, told: told),
        (click.testing.CliRunner, "invoke", "a command", _invoked),
        (subprocess.Popen, "communicate", "a process", lambda _, told: told),
    ):
        yield patch.object(owner, name, _searched(where, getattr(owner, name), parts))
    for module in (keys, pseudonyms, erasures):
        yield patch.object(module, "secrets", _Planting())


class _Planting:
    """In place of the module `secrets`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(secrets, name)

    @staticmethod
    def token_urlsafe(size: int) -> str:
        return f"{MARK}-{secrets.token_urlsafe(size)}"

    @staticmethod
    def token_bytes(size: int) -> bytes:
        return (MARK.encode() + secrets.token_bytes(size))[:size]


def pytest_configure(config: pytest.Config) -> None:
    """Plant and search from now on."""
    config.addinivalue_line("markers", "shows_a_secret: what is told may hold a planted secret")
    for each in _replaced():
        each.start()
        config.add_cleanup(each.stop)
    logging.getLogger().addHandler(_WATCH)


@pytest.fixture(scope="session")
def login() -> str:
    """User and password for the URL of a server."""
    return LOGIN


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Fail a test, at its end, that told a secret."""
    report: pytest.TestReport = yield
    if call.when != "teardown":
        return report
    for where, text in report.sections:
        _WATCH.look(where, text)
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if folder is not None:
        _look_into(folder)
    found, _WATCH.found = _WATCH.found, []
    if found and item.get_closest_marker("shows_a_secret") is None:
        report.outcome = "failed"
        report.longrepr = "\n".join(["a planted secret was told:", *found[:5]])
    return report


def _look_into(folder: Path) -> None:
    for path, told in contents(folder, _MOST_BYTES):
        if not any(path.match(pattern) for pattern in _OWN_FILES):
            _WATCH.look(str(path), told)
