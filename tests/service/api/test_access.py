"""Who is let in: keys, scopes, rates, and what a service without keys does."""

import json
import os
import socket
import subprocess
import sys

import httpx2
import pytest

from service.app import create_app
from service.auth.keys import SCOPES, ApiKey, write_keys
from service.ops.settings import Settings
from tests.waiting import PATIENCE_SECONDS

READ = "/v1/users/u001/recommendations"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def keys(tmp_path):
    """A file with a key for each scope, and their secrets."""
    made = {scope: ApiKey.new(f"for-{scope}", [scope]) for scope in SCOPES}
    path = tmp_path / "keys.txt"
    write_keys(path, [key for key, _ in made.values()])
    return path, {scope: secret for scope, (_, secret) in made.items()}


@pytest.fixture
def guarded(redis_url, artifact, publish, serving, following, until, keys):
    path, secrets = keys
    publish(redis_url, artifact)
    with serving(following(keys_file=path)) as client:
        until(client.ready)
        yield client, path, secrets


def test_each_scope_opens_its_routes_and_no_other(guarded) -> None:
    client, _, secrets = guarded
    event = {"event_id": "a", "user_id": "u001", "item_id": "i001", "type": "click"}
    event["timestamp"] = "2026-01-01T12:00:00Z"
    calls = {
        "read": [("GET", READ, None), ("GET", "/v1/model", None), ("GET", "/v1/models", None)],
        "feedback": [("POST", "/v1/feedback", {"events": [event]})],
        "admin": [
            ("PUT", "/v1/items/i001/availability", {"available": True}),
            ("POST", "/v1/models:unpin", None),
            ("PUT", "/v1/rules", {}),
            ("DELETE", "/v1/rules", None),
        ],
        "metrics": [("GET", "/metrics", None)],
    }
    for scope, requests in calls.items():
        for method, path, body in requests:
            for holder, secret in secrets.items():
                answer = client.request(method, path, json=body, headers=bearer(secret))
                assert answer.status_code == (200 if holder == scope else 403), (path, holder)
            refused = client.request(method, path, json=body)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.headers["content-type"] == "application/problem+json"


def test_every_route_of_the_api_is_guarded(guarded) -> None:
    client, _, _ = guarded
    schema = client.get("/openapi.json").json()
    open_paths = {"/livez", "/readyz"}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert ("security" in operation) == (path not in open_paths), path
            concrete = path.replace("{user_id}", "u").replace("{item_id}", "i")
            answer = client.request(method.upper(), concrete.replace("{version}", "v"), json={})
            assert (answer.status_code == 401) == (path not in open_paths), path


def test_refusals_are_counted_and_name_no_secret(guarded, caplog) -> None:
    client, _, secrets = guarded
    client.get(READ)
    client.get(READ, headers=bearer("mgk_wrong-secret"))
    refused = client.get("/metrics", headers=bearer(secrets["read"]))
    assert refused.json()["detail"] == "the key 'for-read' has no scope 'metrics'"
    metrics = client.get("/metrics", headers=bearer(secrets["metrics"])).text
    for reason in ("no_key", "unknown_key", "scope"):
        assert f'magnet_auth_refusals_total{{reason="{reason}"}} 1.0' in metrics
    everything = metrics + caplog.text + refused.text
    assert "wrong-secret" not in everything
    assert not any(secret in everything for secret in secrets.values())


def test_keys_change_without_a_restart(guarded, until) -> None:
    client, path, secrets = guarded
    fresh, secret = ApiKey.new("fresh", ["read"])
    assert client.get(READ, headers=bearer(secret)).status_code == 401
    write_keys(path, [fresh])
    until(lambda: client.get(READ, headers=bearer(secret)).status_code == 200)
    assert client.get(READ, headers=bearer(secrets["read"])).status_code == 401


def test_a_key_that_asks_too_often_waits_and_others_do_not(
    disk_client, serving, following, until, artifact, tmp_path
) -> None:
    del disk_client
    one, first = ApiKey.new("one", ["read"])
    two, second = ApiKey.new("two", ["read", "metrics"])
    settings = following(keys=f"{one.line()}\n{two.line()}", key_requests_per_second=0.1)
    with serving(settings) as client:
        answers = [client.get(READ, headers=bearer(first)) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 429]
        assert 1 <= int(answers[1].headers["retry-after"]) <= 10
        assert "'one'" in answers[1].json()["detail"]
        answer = client.get("/metrics", headers=bearer(second))
        assert 'magnet_rate_limited_total{key="one"} 1.0' in answer.text


LONG = {"user_id": "u001", "k": 1000}
EVENT = {"user_id": "u001", "item_id": "i001", "type": "click", "timestamp": "2026-01-01T12:00:00Z"}
COSTS = {
    "GET /v1/users/u001/recommendations?k=10": (None, 1),
    "GET /v1/users/u001/recommendations?k=1000": (None, 10),
    "GET /v1/users/u001/recommendations?k=10&offset=9900": (None, 10),
    "GET /v1/users/u001/recommendations?offset=1000000000": (None, 200),
    "GET /v1/users/u001/explanations/i001": (None, 5),
    "GET /v1/items/i001/similar?k=200": (None, 2),
    "GET /v1/items?limit=1000": (None, 10),
    "GET /v1/users/u001?limit=500": (None, 5),
    "POST /v1/recommendations": (LONG | {"explain": "full"}, 20),
    "POST /v1/recommendations:batch": ({"requests": [LONG | {"explain": "full"}] * 10}, 200),
    "POST /v1/score": ({"user_id": "u001", "items": ["i001"] * 1000}, 11),
    "POST /v1/items:lookup": ({"item_ids": ["i001"] * 300}, 3),
    "POST /v1/items:availability": ({"item_ids": ["i001"] * 10_000, "available": True}, 10),
    "POST /v1/feedback": ({"events": [EVENT | {"event_id": f"e{x}"} for x in range(1000)]}, 10),
    "POST /v1/items:bulk": (
        "\n".join(f'{{"item_id": "n{number}", "title": "New"}}' for number in range(400)),
        4,
    ),
}


def test_calls_cost_what_they_ask_for(
    redis_url, artifact, publish, serving, following, until
) -> None:
    made = {call: ApiKey.new(f"key-{place}", SCOPES) for place, call in enumerate(COSTS)}
    lines = "\n".join(key.line() for key, _ in made.values())
    publish(redis_url, artifact)
    with serving(following(keys=lines, key_requests_per_second=0.01)) as client:
        until(client.ready)
        for call, (body, units) in COSTS.items():
            method, path = call.split()
            content = body if isinstance(body, str) or body is None else json.dumps(body)
            headers = bearer(made[call][1]) | {"Content-Type": "application/json"}
            answer = client.request(method, path, content=content, headers=headers)
            assert answer.status_code == 200, (call, answer.text)
            refused = client.get(READ, headers=headers)
            assert refused.status_code == 429
            assert "units a second" in refused.json()["detail"]
            waits = int(refused.headers["retry-after"])
            assert waits == pytest.approx(100 * units, abs=20), call


def _outward_address() -> str:
    """An address of this machine that is not loopback; skips where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("anybody", [False, True])
def test_without_keys_others_are_let_in_only_if_told_so(serving, following, anybody: bool) -> None:
    host = _outward_address()
    with serving(following(allow_anonymous=anybody), host="0.0.0.0") as client:
        port = client.base_url.port
        with httpx2.Client(trust_env=False, timeout=PATIENCE_SECONDS) as outside:
            answer = outside.get(f"http://{host}:{port}{READ}")
            assert answer.status_code == (503 if anybody else 403)
            if not anybody:
                assert "MAGNET_KEYS_FILE" in answer.json()["detail"]
            assert outside.get(f"http://{host}:{port}/livez").status_code == 200
        assert client.get(READ).status_code == 503


def started(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    return subprocess.run(
        [*command, "--port", "0", *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def test_an_open_interface_without_a_choice_is_no_start(tmp_path) -> None:
    done = started("--host", "0.0.0.0")
    assert done.returncode != 0
    assert "listening at 0.0.0.0" in done.stderr
    assert "MAGNET_ALLOW_ANONYMOUS=true" in done.stderr
    assert "Traceback" not in done.stderr
    done = started(MAGNET_KEYS_FILE=str(tmp_path / "none"))
    assert done.returncode != 0
    assert f"{tmp_path / 'none'} cannot be read" in done.stderr


def test_keys_and_anybody_is_a_contradiction() -> None:
    key, _ = ApiKey.new("one", ["read"])
    with pytest.raises(ValueError, match="MAGNET_ALLOW_ANONYMOUS"):
        create_app(Settings(keys=key.line(), allow_anonymous=True))
