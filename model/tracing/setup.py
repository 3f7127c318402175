"""Whether traces are wanted, by OpenTelemetry's own environment variables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.tracing.otel import Traces

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def traces_wanted(environment: Mapping[str, str], service: str) -> "Traces | None":
    """What begins traces, or None, without loading OpenTelemetry, where none are wanted.

    They are if a collector is named (`OTEL_EXPORTER_OTLP_ENDPOINT`) or `OTEL_TRACES_EXPORTER` is
    `otlp`, and `OTEL_SDK_DISABLED` is not `true`. All else, such as the share of traces that are
    kept, OpenTelemetry reads from the environment itself.

    Args:
        environment: variables by name.
        service: the name in traces, unless `OTEL_SERVICE_NAME` is another one.

    Raises:
        ValueError: traces are wanted in a way that there is not, or the extra `otel` is missing.
    """
    named = any(environment.get(name) for name in _ENDPOINTS)
    exporter = environment.get("OTEL_TRACES_EXPORTER") or ("otlp" if named else "none")
    if exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER is {exporter!r}; set it to otlp or none")
    for name in _PROTOCOLS:
        if environment.get(name, _PROTOCOL) not in ("", _PROTOCOL):
            raise ValueError(
                f"{name} is {environment[name]!r}; collectors are spoken to by {_PROTOCOL}, "
                "usually at port 4318"
            )
    try:
        from model.tracing.otel import Traces  # noqa: PLC0415  # only where it is wanted
    except ImportError as error:
        raise ValueError(
            "traces are wanted (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER), but "
            f"{error.name or 'OpenTelemetry'} is not installed: pip install "
            "'magnet-recommender[otel]'"
        ) from error
    return Traces.exported(service)
