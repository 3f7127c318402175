"""The plain routes answer as FastAPI's own, which document them."""

import json
from pathlib import Path
from typing import Any

import pytest

import service.app
from model.artifact.files import write_artifact
from service.auth.keys import ApiKey
from service.ops.settings import Settings
from service.recommend.engine import RecommendationEngine

METRICS, METRICS_SECRET = ApiKey.new("metrics", ["metrics"])
VARYING = {"request_id", "took_ms"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def both(serving, until, artifact, tmp_path_factory):
    """A client of the service, one of a service that has FastAPI's routes alone, and a key."""
    folder: Path = tmp_path_factory.mktemp("both")
    write_artifact(folder, artifact)
    reader, secret = ApiKey.new("reader", ["read"])
    feeder, other_secret = ApiKey.new("feeder", ["feedback"])
    keys = "\n".join(key.line() for key in (reader, feeder, METRICS))
    settings = Settings(artifact_dir=folder, keys=keys, key_requests_per_second=1e6, max_k=50)
    with pytest.MonkeyPatch.context() as patch, serving(settings) as plain:
        patch.setattr(service.app, "HotRoutes", lambda app: app)
        with serving(settings) as usual:
            for client in (plain, usual):
                until(client.ready)
            yield (plain, usual), secret, other_secret


@pytest.fixture
def look():
    """The labels of good requests that a service has counted, and its OpenAPI document."""

    def seen(client) -> tuple[set[str], str]:
        shown = {"Authorization": f"Bearer {METRICS_SECRET}"}
        lines = client.get("/metrics", headers=shown).text.splitlines()
        labels = {
            line.rpartition("}")[0]
            for line in lines
            if line.startswith("magnet_requests_total") and "recommendations" in line
        }
        return labels, json.dumps(client.get("/openapi.json").json(), sort_keys=True)

    return seen


def compared(answer) -> tuple[int, Any, dict[str, str]]:
    content = answer.content and answer.json()
    if content:
        content = {name: value for name, value in content.items() if name not in VARYING}
    headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date")}
    headers.pop("content-length", None)  # `took_ms` has more digits or fewer
    return answer.status_code, content, headers


def assert_alike(both, method: str, path: str, *, key: str = "", **options: Any) -> int:
    clients, secret, _ = both
    shown = {"Authorization": key or f"Bearer {secret}"} | options.pop("headers", {})
    plain, usual = (
        compared(client.request(method, path, headers=shown, **options)) for client in clients
    )
    assert plain == usual
    return plain[0]


@pytest.mark.parametrize(
    ("user_and_query", "status"),
    [
        ("u001/recommendations", 200),
        ("nobody/recommendations?k=3&offset=2&exclude_seen=false&diversity=0.5", 200),
        ("a%2Fb%0A%C3%BC/recommendations", 200),
        ("u001/recommendations?category=x&category=c1&k=1", 200),
        ("u001/recommendations?category=x&category=c1&k=1&k=2", 422),
        (f"{'u' * 257}/recommendations?k=1&k=1&novelty=2&novelty=3", 422),
        ("u001/recommendations?k=", 422),
        ("u001/recommendations?k=five&offset=-1", 422),
        ("u001/recommendations?k=51", 422),
        ("u001/recommendations?novelty=1", 422),
        ("u001/recommendations?novelty=1&novelty=2&exclude_seen=perhaps", 422),
        ("u001/recommendations?k=%FF", 422),
        ("u001/recommendations?" + "&".join(["category=x"] * 101), 422),
        ("/recommendations?k=1", 422),
        (f"{'u' * 257}/recommendations?k=0", 422),
    ],
)
def test_lists_of_one_user(both, user_and_query: str, status: int) -> None:
    assert assert_alike(both, "GET", f"/v1/users/{user_and_query}") == status


GOOD = b'{"session_items": ["i001"], "k": 2}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (GOOD, 200),
        (b'{"user_id": "u001", "k": 2, "k": 3}', 422),
        (b'{"user_id": "u001", "k": "2"}', 422),
        (b'{"user_id": "u001", "k": 2.0}', 422),
        (b'{"user_id": "u001", "k": 100000000000000000000}', 422),
        (b'{"user_id": "\\ud800"}', 422),
        (b'{"user_id": "u001", "diversity": NaN}', 422),
        (b'{"user_id": "u001", "exclude": [1, 2], "novelty": 1}', 422),
        (b"[1]", 422),
        (b"null", 422),
        (b"{", 422),
        (b"", 422),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"user_id": "u001", "k": ' + 5_000 * b"9" + b"}", 400),
    ],
)
@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/x+json", "text/x"]
)
def test_bodies(both, body: bytes, status: int, kind: str) -> None:
    found = assert_alike(
        both, "POST", "/v1/recommendations", content=body, headers={"content-type": kind}
    )
    assert found == (422 if kind == "text/x" else status)


def test_a_body_without_a_type_is_refused(both) -> None:
    assert assert_alike(both, "POST", "/v1/recommendations", content=GOOD) == 422


@pytest.mark.parametrize("key", ["none", "Bearer", "Bearer wrong", "Basic eDp5", "bearer {}"])
@pytest.mark.parametrize("path", ["/v1/users/u001/recommendations", "/v1/recommendations"])
def test_keys(both, path: str, key: str) -> None:
    method = "GET" if path.startswith("/v1/users") else "POST"
    shown = key.format(both[1])
    assert_alike(both, method, path, key=shown, content=GOOD, headers=JSON)


def test_a_key_without_the_scope(both) -> None:
    shown = f"Bearer {both[2]}"
    assert assert_alike(both, "GET", "/v1/users/u001/recommendations", key=shown) == 403
    options: dict[str, Any] = {"content": GOOD, "headers": JSON}
    assert assert_alike(both, "POST", "/v1/recommendations", key=shown, **options) == 403


def test_a_query_where_there_is_a_body(both) -> None:
    options: dict[str, Any] = {"content": GOOD, "headers": JSON}
    assert assert_alike(both, "POST", "/v1/recommendations?k=1", **options) == 422


def test_head(both) -> None:
    assert assert_alike(both, "HEAD", "/v1/users/u001/recommendations?k=1") == 200
    assert assert_alike(both, "HEAD", "/v1/recommendations") == 405


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/users/u001/recommendations", "/v1/recommendations"])
def test_other_methods(both, method: str, path: str) -> None:
    assert assert_alike(both, method, path) == 405


def test_they_are_counted_by_the_same_labels_and_documented_alike(look, both) -> None:
    options: dict[str, Any] = {"content": GOOD, "headers": JSON}
    assert assert_alike(both, "GET", "/v1/users/u001/recommendations") == 200
    assert assert_alike(both, "POST", "/v1/recommendations", **options) == 200
    labels, documents = zip(*(look(client) for client in both[0]), strict=True)
    assert labels[0] == labels[1]
    assert any("/v1/users/{user_id}/recommendations" in line for line in labels[0])
    assert any('"/v1/recommendations"' in line for line in labels[0])
    assert documents[0] == documents[1]


def test_an_unexpected_error(both, until, monkeypatch, caplog) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("nobody has foreseen this")

    monkeypatch.setattr(RecommendationEngine, "recommend", fail)
    once: dict[str, Any] = {"headers": {"Connection": "close"}}  # as the server does afterwards
    body = {"user_id": "u001"}
    assert assert_alike(both, "GET", "/v1/users/u001/recommendations", **once) == 500
    assert assert_alike(both, "POST", "/v1/recommendations", json=body, **once) == 500

    def told() -> list[str]:
        return [str(record.exc_info[1]) for record in caplog.records if record.exc_info]

    until(lambda: len(told()) == 4)  # the server logs what its routes raise once it has answered
    assert set(told()) == {"nobody has foreseen this"}
