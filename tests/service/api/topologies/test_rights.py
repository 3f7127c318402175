"""The ACL lines of docs/operations.md suffice, and give no more than they say."""

import re
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main

DOCUMENT = Path(__file__).parents[4] / "docs" / "operations.md"
LINES = re.findall(r"^ACL SETUSER (\S+) (.+)$", DOCUMENT.read_text(), re.MULTILINE)


@pytest.fixture(params=["one server", "cluster"])
def guarded(request, binary_of, start_server, cluster_of):
    """URLs of the trainer and of the service, and a client of each on a server."""
    if request.param == "cluster":
        cluster = cluster_of(binary_of("valkey"))
        servers, form = cluster.masters, "redis+cluster"
    else:
        servers, form = [start_server(binary_of("valkey"))], "redis"
    for server in servers:
        for user, rules in LINES:
            words = rules.replace("PASSWORD", "pass@word").split()
            server.client().execute_command("ACL", "SETUSER", user, *words)
        server.client().execute_command("ACL", "SETUSER", "default", "off")
    return {
        user: (
            f"{form}://{user}:pass%40word@127.0.0.1:{servers[0].port}",
            servers[0].client(username=user, password="pass@word"),
        )
        for user, _ in LINES
    }


def test_the_documented_rights_suffice(
    guarded, make_artifact, publish_to, serving, following, until
) -> None:
    (trainer, trainer_client), (service, service_client) = (
        guarded["magnet-trainer"],
        guarded["magnet-service"],
    )
    publish_to(trainer, make_artifact("v1", 1))
    with serving(following(service)) as client:
        until(client.ready)
        assert client.recommend("u001")["warnings"] == []
        assert client.warnings() == ""
        for number in range(2, 6):
            publish_to(trainer, make_artifact(f"v{number}", number))
        until(lambda: client.recommend("u001")["model_version"] == "v5")
        clicked = {"event_id": "a", "user_id": "visitor", "item_id": "i001", "type": "click"}
        clicked["timestamp"] = "2026-01-01T12:00:00Z"
        for method, path, body in (
            ("POST", "/v1/feedback", {"events": [clicked]}),
            ("PUT", "/v1/items/i001/availability", {"available": False}),
            ("GET", "/v1/items/i001/availability", None),
            ("GET", "/v1/models", None),
            ("POST", "/v1/models/v4:activate", {"pin": True}),
            ("POST", "/v1/models:unpin", None),
            ("POST", "/v1/models/v5:canary", {"share": 0.5}),
        ):
            answer = client.request(method, path, json=body)
            assert answer.status_code == 200, (path, answer.text)
        listed = client.recommend("visitor")
        assert (listed["live_events"], listed["warnings"]) == (1, [])
        assert client.delete("/v1/users/u029").status_code == 202
        assert client.recommend("u029")["fallback"] == "popular"
        assert main(["users", "erased", "--redis-url", trainer]) == 1
        until(lambda: client.get("/v1/model").json()["challenger"] == "v5")
        for number in range(20):
            client.recommend(f"u{number:03d}")
        until(lambda: client.get("/v1/models").json()["canary"]["answers"] > 0)
        until(lambda: client.get("/v1/experiments/current").json()["challenger"]["lists"] > 0)
        assert main(["promote", "v5", "--if-better", "--redis-url", trainer]) == 3
        assert main(["canary", "--stop", "--redis-url", trainer]) == 0
        until(lambda: client.get("/v1/model").json()["challenger"] is None)
        assert client.post("/v1/models/v3:canary", json={"share": 0.5}).status_code == 200
        assert client.post("/v1/models:stop-canary").json()["canary"]["outcome"] == "stopped"
        assert main(["canary", "v3", "--redis-url", trainer]) == 0
        publish_to(trainer, make_artifact("v6", 6))
        assert client.get("/v1/models").json()["canary"]["outcome"] == "superseded"

    for forbidden, who in (
        (("SET", "mg:default:v:v1:manifest", "x"), service_client),
        (("SET", "mg:other:v:v1:manifest", "x"), service_client),
        (("SET", "mg:{other}:current", "x"), trainer_client),
        (("ZRANGE", "mg:default:live:u001", 0, -1), trainer_client),
        (("FLUSHALL",), trainer_client),
        (("CONFIG", "GET", "*"), service_client),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            who.execute_command(*forbidden)
