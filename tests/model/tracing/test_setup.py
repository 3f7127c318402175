"""When traces are wanted, and what is loaded where they are not."""

import subprocess
import sys

import pytest

from model.tracing.setup import traces_wanted

HERE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {HERE: ""},
        {"OTEL_SERVICE_NAME": "shop"},
        {HERE: "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
        {HERE: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=str,
)
def test_nobody_is_traced_who_does_not_want_it(environment: dict[str, str]) -> None:
    assert traces_wanted(environment, "magnet") is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "set it to otlp or none"),
        ({HERE: "http://here:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "usually at port 4318"),
    ],
)
def test_a_way_that_there_is_not_is_refused(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        traces_wanted(environment, "magnet")


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_without_traces_nothing_of_them_is_loaded(tmp_path) -> None:
    code = """
import sys
from service.app import app_listening_at
app_listening_at("127.0.0.1")
import training.retrain.command
parts = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "model.tracing.otel")
sys.exit(any(name.startswith(parts) for name in sys.modules))
"""
    paths = ":".join(sys.path)
    found = _run(code, PYTHONPATH=paths, MAGNET_ARTIFACT_DIR=str(tmp_path))
    assert found.returncode == 0, found.stderr


def test_a_missing_extra_is_named() -> None:
    code = f"""
import sys
sys.modules["opentelemetry"] = None
from model.tracing.setup import traces_wanted
traces_wanted({{"{HERE}": "http://here:4318"}}, "magnet")
"""
    found = _run(code, PYTHONPATH=":".join(sys.path))
    assert "pip install 'magnet-recommender[otel]'" in found.stderr
