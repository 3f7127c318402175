"""Traces of a service, as a collector gets them by OTLP over HTTP."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.waiting import PATIENCE_SECONDS

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
USER = "u001"


class Collector:
    """What a server at `address` has been sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def spans(self) -> dict[str, Span]:
        """By name, the latest."""
        return {
            span.name: span
            for request in self.requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@dataclass
class Running:
    """A service in a process of its own."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(f"{self.url}{path}", headers=headers, timeout=PATIENCE_SECONDS)

    def stop(self) -> None:
        """Stop it as a container is stopped."""
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def start(redis_url, artifact, publish, until, tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts a service with some environment."""
    publish(redis_url, artifact)
    log = tmp_path / "log"
    started: list[subprocess.Popen[bytes]] = []

    def url() -> str | None:
        found = re.search(r"running on (http[^ \"]+)", log.read_text())
        return found and found[1]

    def run(**environment: str) -> Running:
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
        variables = os.environ | {"REDIS_URL": redis_url} | environment
        with log.open("wb") as stream:
            process = subprocess.Popen([*command, "--port", "0"], env=variables, stderr=stream)
        started.append(process)
        until(lambda: url() is not None)
        until(lambda: httpx2.get(f"{url()}/readyz", timeout=PATIENCE_SECONDS).status_code == 200)
        return Running(url=str(url()), log=log, process=process)

    yield run
    for process in started:
        process.kill()
        process.wait()


def lines_of(log: Path, request_id: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]


def test_a_slow_request_is_seen_part_by_part(start, collector, until) -> None:
    service = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        FASTAPI_OTEL_AUTO_CONFIGURE="true",
    )
    trace_id, caller = CALLER
    answer = service.get(
        f"/v1/users/{USER}/recommendations",
        **{"traceparent": f"00-{trace_id}-{caller}-01", "X-Request-ID": "find-me"},
    )
    assert answer.status_code == 200
    name = "GET /v1/users/{user_id}/recommendations"
    until(lambda: name in collector.spans())
    spans = collector.spans()
    parts = {"lookup", "redis", "retrieve", "route", "rank", "explain", "serialise"}
    assert spans.keys() == {name, *parts}
    whole = spans[name]
    assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
    assert (whole.parent_span_id.hex(), whole.kind) == (caller, Span.SPAN_KIND_SERVER)
    inside = {"redis": "lookup", "route": "retrieve"}
    for part in parts:
        parent = spans[inside.get(part, name)]
        assert spans[part].parent_span_id == parent.span_id, part
        assert parent.start_time_unix_nano <= spans[part].start_time_unix_nano, part
        assert spans[part].end_time_unix_nano <= parent.end_time_unix_nano, part
    attributes = {each.key: each.value for each in whole.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/v1/users/{user_id}/recommendations"
    assert attributes["magnet.request_id"].string_value == "find-me"
    resource = collector.requests()[0].resource_spans[0].resource.attributes
    named = {each.key: each.value.string_value for each in resource}
    assert (named["service.name"], named["deployment.environment.name"]) == ("magnet", "test")
    (line,) = lines_of(service.log, "find-me")
    assert (line["trace_id"], line["span_id"]) == (trace_id, whole.span_id.hex())
    assert not any(USER.encode() in body for body in collector.bodies)


def test_what_has_not_been_sent_is_sent_before_the_process_ends(start, collector) -> None:
    service = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, OTEL_BSP_SCHEDULE_DELAY="60000")
    assert service.get("/v1/items/nothing/similar").status_code == 404
    assert collector.bodies == []
    service.stop()
    span = collector.spans()["GET /v1/items/{item_id}/similar"]
    assert span.status.code == Status.STATUS_CODE_UNSET  # a caller's fault is no failure
    assert not any("livez" in name or "readyz" in name for name in collector.spans())


def test_a_collector_that_is_away_costs_no_answer(start, free_port) -> None:
    service = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port}",
        OTEL_EXPORTER_OTLP_TIMEOUT="600",  # seconds; longer than it may take to stop
    )
    for _ in range(5):
        answer = service.get(f"/v1/users/{USER}/recommendations")
        assert answer.status_code == 200
    service.stop()


def test_what_cannot_be_is_said_at_the_start() -> None:
    command = [sys.executable, "-c", "from service.app import create_app; create_app()"]
    environment = os.environ | {"OTEL_TRACES_EXPORTER": "zipkin"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.startswith("magnet: OTEL_TRACES_EXPORTER is 'zipkin'")
