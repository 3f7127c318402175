"""Bounds on requests, headers of answers, and a service that leaves in peace."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from model.artifact.files import write_artifact
from service.http.middleware import HEADERS
from service.ops.settings import Settings
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def small(serving, until, artifact, tmp_path_factory):
    """A service with small bounds."""
    folder = tmp_path_factory.mktemp("small")
    write_artifact(folder, artifact)
    settings = Settings(artifact_dir=folder, max_body_bytes=2048)
    with serving(settings) as client:
        until(client.ready)
        yield client


def test_a_body_may_be_so_long(small) -> None:
    body = json.dumps({"user_id": "u001"})
    headers = {"content-type": "application/json"}
    fits = small.post("/v1/recommendations", content=body.ljust(2048), headers=headers)
    assert fits.status_code == 200
    for content in (body.ljust(2049), iter([b" " * 1500, b" " * 1500])):
        answer = small.post("/v1/recommendations", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:magnet:problem:too-large"
        assert "2048 bytes" in answer.json()["detail"]
        assert answer.headers["X-Request-ID"] == answer.json()["request_id"]


def test_an_answer_is_given_up_in_time(artifact, tmp_path, serving, until) -> None:
    """A caller who never ends her body does not hold the service."""
    write_artifact(tmp_path, artifact)
    with serving(Settings(artifact_dir=tmp_path, request_timeout_seconds=1)) as client:
        until(client.ready)
        url = client.base_url
        connection = http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE_SECONDS)
        connection.putrequest("POST", "/v1/recommendations")
        connection.putheader("Content-Length", "100")
        started = time.monotonic()
        connection.endheaders(b"{")
        answer = connection.getresponse()
        assert answer.status == 503
        assert json.load(answer)["type"] == "urn:magnet:problem:too-late"
        assert answer.headers["retry-after"]
        assert time.monotonic() - started >= 0.9
        connection.close()
        until(client.ready)


def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(small, until) -> None:
    head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((small.base_url.host, small.base_url.port)) as left:
        left.sendall(head.encode())
    until(lambda: small.metric('magnet_requests_total{method="any",route="other",status="499"}'))
    assert 'status="500"' not in small.get("/metrics").text


@pytest.mark.parametrize("path", ["/v1/model", "/livez", "/nowhere", "/v1/items/gone/similar"])
def test_every_answer_keeps_browsers_from_guessing(small, path: str) -> None:
    answer = small.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_the_documentation_needs_nobody_else(small) -> None:
    page = small.get("/docs")
    assert "//" not in page.text.replace("application/json", ""), "an address of another host"
    assets = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(assets) == 2
    for path in assets:
        asset = small.get(f"/{path}")
        assert asset.status_code == 200
        assert len(asset.content) > 50_000
    policy = page.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "http" not in policy


def test_before_it_stops_it_says_so_and_serves_on(artifact, tmp_path, until) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    write_artifact(folder, artifact)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    environment = {"MAGNET_ARTIFACT_DIR": str(folder), "MAGNET_DRAIN_SECONDS": "1.5"}
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [*command, "--port", "0"], env=os.environ | environment, stderr=stream
        ) as process,
    ):
        try:
            until(lambda: "running on http" in log.read_text())
            (url,) = re.findall(r"running on (http://\S+?)[ \"]", log.read_text())
            with httpx2.Client(base_url=url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
                until(lambda: client.get("/readyz").status_code == 200)
                process.send_signal(signal.SIGTERM)
                until(lambda: client.get("/readyz").status_code == 503)
                assert "about to stop" in client.get("/readyz").json()["detail"]
                assert client.get("/v1/users/u001/recommendations").status_code == 200
            assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
        finally:
            if process.poll() is None:
                process.kill()
    assert "Traceback" not in log.read_text()
