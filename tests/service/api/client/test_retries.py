"""When a call is sent again, against a server that answers as it is told."""

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from magnet_client import (
    Client,
    InvalidAnswer,
    ModelsResponse,
    NotFound,
    ProblemError,
    Retries,
    ServiceAway,
    TooManyRequests,
    Unavailable,
)

MODELS = dict.fromkeys(ModelsResponse.model_fields) | {
    "request_id": "r", "took_ms": 1, "live": "v1", "models": [], "warnings": []
}  # fmt: skip
BUSY = {"type": "urn:magnet:problem:overloaded", "title": "Busy", "status": 503, "detail": "wait"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_asked_again(status: int, connect, script) -> None:
    script.then(status, BUSY).then(status, b"<html>proxy</html>").then(200, MODELS)
    assert connect(script.url)("models").live == "v1"
    assert len(script.asked) == 3


def test_the_service_is_left_alone_for_as_long_as_it_asks(connect, script) -> None:
    script.then(503, BUSY, Retry_After="1").then(200, MODELS)
    assert connect(script.url)("models").live == "v1"
    first, second = script.asked
    assert second - first >= 1.0


def test_a_date_is_understood_too(connect, script) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    script.then(429, BUSY, Retry_After=later)
    with pytest.raises(TooManyRequests) as refusal:
        connect(script.url)("models")
    assert 3000 < refusal.value.retry_after_seconds <= 3600
    assert len(script.asked) == 1


def test_a_bulk_call_has_more_time(connect, script) -> None:
    """What it may take for 10,000 items is no sign that the service is away."""
    done = {
        "request_id": "r", "took_ms": 1, "model_version": "v1", "items": 1, "new": 1,
        "encoded_by": {"text": 1}, "revision": 1,
    }  # fmt: skip
    script.then(200, done, seconds=1.0).then(200, MODELS, seconds=1.0)
    call = connect(script.url, timeout_seconds=0.7, retries=Retries(attempts=1))
    assert call("put_items", [{"item_id": "a", "title": "A"}]).new == 1
    with pytest.raises(ServiceAway, match="did not answer in time"):
        call("models")


def test_a_call_ends(connect, script) -> None:
    script.then(503, BUSY)
    with pytest.raises(Unavailable, match="Busy: wait"):
        connect(script.url, retries=Retries(attempts=3, base_seconds=0.01))("models")
    assert len(script.asked) == 3


def test_no_longer_wait_than_the_caller_allows(connect, script) -> None:
    script.then(429, BUSY, Retry_After="3600")
    with pytest.raises(TooManyRequests) as refusal:
        connect(script.url)("models")
    assert refusal.value.retry_after_seconds == 3600
    assert len(script.asked) == 1


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (500, ProblemError)])
def test_what_will_not_pass_is_not_asked_again(status: int, error: type, connect, script) -> None:
    script.then(status, BUSY | {"status": status})
    with pytest.raises(error):
        connect(script.url)("models")
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("body", "shown"), [(b"<html>welcome</html>", "<html>welcome"), ({"live": 1}, '"live": 1')]
)
def test_what_is_no_answer_is_shown(body: object, shown: str, connect, script) -> None:
    script.then(200, body)
    with pytest.raises(InvalidAnswer, match=r"/v1/models\S* answers 200") as refusal:
        connect(script.url)("models")
    assert shown in str(refusal.value)


def test_nobody_listens(connect, free_port: int) -> None:
    with pytest.raises(ServiceAway, match=f"127.0.0.1:{free_port}.*is the service running there"):
        connect(f"http://127.0.0.1:{free_port}")("models")


def test_nobody_answers_in_time(connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ask = connect(url, timeout_seconds=0.3, retries=Retries(attempts=2, base_seconds=0.01))
        started = time.monotonic()
        with pytest.raises(ServiceAway, match="did not answer in time"):
            ask("models")
    assert time.monotonic() - started >= 0.6


def test_an_address_that_is_none() -> None:
    with pytest.raises(ValueError, match="must start with http://"):
        Client("localhost:8000")


def test_waits_grow_and_differ() -> None:
    retries, error = Retries(attempts=9, base_seconds=1.0, most_seconds=5.0), ServiceAway("away")
    for failures, longest in ((1, 1), (2, 2), (3, 4), (4, 5), (8, 5)):
        waits = [retries.wait_seconds(failures, error) for _ in range(200)]
        assert 0.8 * longest < max(waits) <= longest
        assert min(waits) < 0.2 * longest
