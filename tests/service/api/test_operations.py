"""What an operator sees: metrics, logs, documentation, start and stop."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from model.artifact.files import write_artifact
from service.ops.settings import Settings

CONFIGURATION = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.fixture
def process(tmp_path):
    """Starts the documented command; yields the process and where its log goes."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / "log"
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
        with log.open("wb") as stream:
            one = subprocess.Popen(
                [*command, "--port", "0"], env=os.environ | environment, stderr=stream
            )
        started.append(one)
        return one, log

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.wait()


def test_every_metric_is_documented_and_every_documented_metric_exists(disk_client) -> None:
    disk_client.get("/v1/users/u001/recommendations")
    disk_client.get("/v1/users/nobody/recommendations")
    text = disk_client.get("/metrics").text
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    served = {name: kind for name, kind in families.items() if not name.endswith("_created")}
    rows = re.findall(r"^\| `(magnet_\w+)` \| (\w+) \|", CONFIGURATION.read_text(), re.MULTILINE)
    assert dict(rows) == served


def test_odd_requests_make_no_new_labels(disk_client) -> None:
    """Nobody can make `/metrics` grow, with a key or without."""
    paths = ["/v1/model", "/livez", "/v1/users/u001", "/v1/items/i001", "/docs", "/page/x", "/"]
    for method in ("PROPFIND", "GET", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "PUT"):
        for path in paths:
            disk_client.request(method, path)
    before = len(disk_client.get("/metrics").text.splitlines())
    for number in range(600):
        disk_client.request(f"ODD{number}", paths[number % len(paths)])
        disk_client.request("PROPFIND", f"/odd/{number}")
        disk_client.get(f"/v1/users/odd{number}", headers={"Host": f"odd{number}.example"})
    disk_client.request("PROPFIND", "/v1/model")
    statuses = 7 * 4  # of refusals that the first round did not provoke
    assert len(disk_client.get("/metrics").text.splitlines()) <= before + statuses


def test_metrics_have_a_port_of_their_own(artifact, serving, free_port, tmp_path) -> None:
    write_artifact(tmp_path, artifact)
    keys = f"shop read {'0' * 64}"
    settings = Settings(artifact_dir=tmp_path, keys=keys, metrics_port=free_port)
    address = f"http://127.0.0.1:{free_port}/metrics"
    with serving(settings) as service:
        service.get("/livez")
        told = httpx2.get(address)
        assert 'magnet_requests_total{method="GET",route="/livez",status="200"}' in told.text
        for host in ("evil.example", "127.0.0.1.evil.example:9100", ""):  # as by DNS rebinding
            told = httpx2.get(address, headers={"Host": host})
            assert (told.status_code, told.text[:6]) == (403, "ask by")
        told = httpx2.get(address, headers={"Host": "localhost:1"})
        assert told.status_code == 200
        assert service.get("/metrics").status_code == 401, "the other one asks for a key as before"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


def test_a_taken_port_for_metrics_is_named(process, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one, log = process(MAGNET_ARTIFACT_DIR=str(tmp_path), MAGNET_METRICS_PORT=str(port))
        assert one.wait(60) != 0
    assert f"MAGNET_METRICS_PORT: 127.0.0.1:{port} cannot be used" in log.read_text()


def test_requests_are_counted_by_template_errors_included(disk_client) -> None:
    route = "/v1/users/{user_id}/recommendations"
    ok, refused, other = (
        f'magnet_requests_total{{method="{method}",route="{name}",status="{status}"}}'
        for method, name, status in (
            ("GET", route, 200),
            ("GET", route, 422),
            ("any", "other", 404),
        )
    )
    before = [disk_client.metric(sample) for sample in (ok, refused, other)]
    disk_client.get("/v1/users/u001/recommendations")
    disk_client.get("/v1/users/u002/recommendations?k=0")
    disk_client.get("/v1/wp-login.php")
    after = [disk_client.metric(sample) for sample in (ok, refused, other)]
    assert after == [count + 1 for count in before]
    assert "u001" not in disk_client.get("/metrics").text


def test_stages_of_an_answer_are_timed(disk_client) -> None:
    samples = [
        f'magnet_stage_seconds_count{{stage="{stage}"}}'
        for stage in ("lookup", "retrieve", "rank", "explain", "serialise")
    ]
    before = [disk_client.metric(sample) for sample in samples]
    disk_client.get("/v1/users/u001/recommendations?k=17")  # which nobody has asked for
    assert [disk_client.metric(sample) for sample in samples] == [count + 1 for count in before]


def test_the_documentation_shows_every_route_and_its_problems(disk_client) -> None:
    assert disk_client.get("/docs").status_code == 200
    schema = disk_client.get("/openapi.json").json()
    assert schema["paths"].keys() == {
        "/v1/users",
        "/v1/users/{user_id}",
        "/v1/users/{user_id}/recommendations",
        "/v1/recommendations",
        "/v1/recommendations:batch",
        "/v1/score",
        "/v1/explain",
        "/v1/users/{user_id}/explanations/{item_id}",
        "/v1/items/{item_id}/similar",
        "/v1/categories",
        "/v1/feedback",
        "/v1/items",
        "/v1/items:lookup",
        "/v1/items:availability",
        "/v1/items:bulk",
        "/v1/items/{item_id}",
        "/v1/items/{item_id}/availability",
        "/v1/model",
        "/v1/models",
        "/v1/rules",
        "/v1/models/{version}/report",
        "/v1/models/{version}:activate",
        "/v1/models:unpin",
        "/v1/models/{version}:canary",
        "/v1/models:stop-canary",
        "/v1/experiments/current",
        "/v1/training/events",
        "/livez",
        "/readyz",
        "/metrics",
    }
    request = schema["components"]["schemas"]["RecommendationRequest"]
    assert request["examples"]
    (parameter,) = (
        each["schema"]
        for each in schema["paths"]["/v1/items/{item_id}/similar"]["get"]["parameters"]
        if each["name"] == "k"
    )
    assert parameter["maximum"] == request["properties"]["k"]["maximum"] == 50
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            refusals = {s: r for s, r in operation["responses"].items() if s >= "400"}
            assert ("503" in refusals) == (path not in ("/livez", "/metrics"))
            for named in refusals.values():
                name = named["$ref"].removeprefix("#/components/responses/")
                refusal = schema["components"]["responses"][name]
                (media_type,) = refusal["content"]
                assert media_type == "application/problem+json"
                reference = refusal["content"][media_type]["schema"]["$ref"]
                assert reference == "#/components/schemas/Problem"


def test_the_model_says_what_it_is(disk_client, artifact) -> None:
    model = disk_client.get("/v1/model").json()
    assert (model["model_version"], model["num_users"], model["num_items"]) == ("v1", 30, 80)
    assert model["metrics"] == artifact.manifest.metrics
    assert model["age_seconds"] > 0
    dominant = model["experts"][0]
    assert dominant["template"] == {"behaviour": 0.8, "text": 0.1, "picture": 0.1}


def test_the_log_is_json_names_the_request_and_keeps_secrets(process, until) -> None:
    server, log = process(REDIS_URL="redis://me:hunter2@127.0.0.1:1/0", MAGNET_POLL_SECONDS="0.1")

    def lines() -> list[dict[str, object]]:
        whole, _, _ = log.read_text().rpartition("\n")  # the last one may be half written
        return [json.loads(line) for line in whole.splitlines()]

    def url() -> str | None:
        found = re.search(r"running on (http\S+)", log.read_text())
        return found and found[1]

    until(lambda: url() is not None)
    until(lambda: any("is not reachable" in str(line["message"]) for line in lines()))
    path = f"{url()}/v1/users/u1/recommendations"
    httpx2.get(path, headers={"X-Request-ID": "find-me"}, timeout=60)
    until(lambda: any(line.get("request_id") == "find-me" for line in lines()))
    (request,) = (line for line in lines() if line.get("request_id") == "find-me")
    assert request["status"] == 503
    assert request["route"] == "/v1/users/{user_id}/recommendations"
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=60)
    assert "hunter2" not in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_busy_port_is_an_error_that_names_it(process, until, disk_client) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    done = subprocess.run(
        [*command, "--port", str(disk_client.base_url.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "address already in use" in done.stderr


def test_a_folder_can_be_served_before_it_is_there(
    serving, following, until, make_artifact, tmp_path
) -> None:
    folder = tmp_path / "live"
    with serving(following(artifact_dir=folder)) as client:
        until(lambda: "has no manifest.json" in client.get("/readyz").text)
        for version, seed in (("v1", 1), ("v2", 2)):
            _rename_into_place(make_artifact(version, seed), folder)
            until(client.ready)
            until(lambda wanted=version: client.recommend("u001")["model_version"] == wanted)
        (folder / "item_bias.npy").unlink()
        time.sleep(0.2)
        assert client.recommend("u001")["model_version"] == "v2"


def _rename_into_place(artifact, folder: Path) -> None:
    fresh, old = folder.with_name("fresh"), folder.with_name("old")
    fresh.mkdir()
    write_artifact(fresh, artifact)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
