"""HTTP for the checks: every answer is a value, refusals included."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_TIMEOUT_SECONDS = 20.0


class CheckFailed(AssertionError):
    """The stack does not do what it should; the message says what was found instead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of one answer."""

    status: int
    text: str

    def json(self) -> Any:
        """The body as JSON; CheckFailed if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise CheckFailed(f"{self.status}, not JSON: {self.text[:200]}") from None


def get(url: str, key: str | None = None) -> Answer:
    """Ask once; CheckFailed if there is no answer at all."""
    return _ask(urllib.request.Request(url, headers=_headers(key)))


def post(url: str, body: object, key: str) -> Answer:
    """Send JSON once; CheckFailed if there is no answer at all."""
    headers = _headers(key) | {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers))


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _ask(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        return Answer(refusal.code, refusal.read().decode())
    except OSError as error:
        raise CheckFailed(f"{request.full_url} does not answer: {error}") from error


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """The samples of an expression now."""
    answer = get(f"{prometheus}/api/v1/query?query={quote(expression)}").json()
    if answer["status"] != "success":
        raise CheckFailed(f"{expression}: {answer}")
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def until(what: str, condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something to come about; CheckFailed if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CheckFailed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def check(what: str, *, holds: bool) -> None:
    """CheckFailed unless it holds."""
    if not holds:
        raise CheckFailed(f"not so: {what}")
