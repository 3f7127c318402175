"""Reports of published models over HTTP."""

import time

import pytest

from model.artifact.files import write_artifact
from model.artifact.report import REPORT, ModelReport
from model.registry.keys import KeySpace
from service.auth.keys import ApiKey
from service.ops.settings import Settings

KEYS = KeySpace()


@pytest.fixture
def client(redis_url, valkey_server, make_artifact, reported, publish, serving, following, until):
    """Serves v2, published after v1, which has a report too, and v0, which has none."""
    with valkey_server.client() as redis:
        for seed, version in enumerate(("v0", "v1", "v2")):
            made = make_artifact(version, seed + 1)
            publish(redis_url, reported(made) if seed else made)
            redis.zadd(KEYS.versions, {version: time.time() + seed})
    with serving(following()) as client:
        until(client.ready)
        yield client


@pytest.mark.parametrize(("version", "seed"), [("v2", 3), ("v1", 2)])
def test_the_report_of_a_version_is_what_was_published_with_it(
    version: str, seed: int, client, make_artifact, reported
) -> None:
    answer = client.get(f"/v1/models/{version}/report").json()
    assert answer["model_version"] == version
    expected = reported(make_artifact(version, seed)).files[REPORT]
    assert ModelReport.model_validate(answer["report"]) == ModelReport.model_validate_json(expected)


def test_a_version_without_a_report_says_so(client) -> None:
    answer = client.get("/v1/models/v0/report")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:magnet:problem:no-report")
    assert "magnet report" in answer.json()["detail"]
    has = {x["model_version"]: x["report"] for x in client.get("/v1/models").json()["models"]}
    assert has == {"v0": False, "v1": True, "v2": True}
    assert client.get("/v1/model").json()["report"]


@pytest.mark.parametrize("version", ["v9", "no%20name"])
def test_a_version_that_is_not_there_is_not_found(version: str, client) -> None:
    answer = client.get(f"/v1/models/{version}/report")
    assert (answer.status_code, answer.json()["type"]) == (
        404,
        "urn:magnet:problem:unknown-version",
    )


def test_a_damaged_report_is_not_shown(client, valkey_server) -> None:
    with valkey_server.client() as redis:
        key = KEYS.chunk("v1", REPORT, 0)
        redis.set(key, redis.get(key)[::-1])
    answer = client.get("/v1/models/v1/report")
    assert answer.status_code == 404
    assert "damaged" in answer.json()["detail"]


def test_without_redis_the_report_of_what_is_served_is_there(
    own_server, make_artifact, reported, publish, serving, following, until
) -> None:
    publish(own_server.connection_url, reported(make_artifact("v1", 1)))
    with serving(following(own_server.connection_url)) as client:
        until(client.ready)
        own_server.stop()
        assert client.get("/v1/models/v1/report").status_code == 200
        assert client.get("/v1/models/v0/report").status_code == 503


def test_a_folder_has_the_report_of_what_it_holds(
    make_artifact, reported, serving, until, tmp_path
) -> None:
    write_artifact(tmp_path, reported(make_artifact("v1", 1)))
    with serving(Settings(artifact_dir=tmp_path)) as client:
        until(client.ready)
        assert client.get("/v1/models/v1/report").json()["report"]["length"] == 20
        assert client.get("/v1/models/v2/report").status_code == 404


def test_it_needs_a_key_where_the_list_of_versions_does(
    redis_url, make_artifact, reported, publish, serving, following, until
) -> None:
    publish(redis_url, reported(make_artifact("v1", 1)))
    with serving(following(keys=ApiKey.new("shop", ["read"])[0].line())) as client:
        for path in ("/v1/models", "/v1/models/v1/report"):
            assert client.get(path).status_code == 401
