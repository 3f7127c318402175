"""Spans of OpenTelemetry, sent to a collector by OTLP over HTTP.

They are sent by a thread of the SDK, in batches; while the collector is away it drops them.
"""

from collections.abc import Mapping
from typing import Self

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from model.tracing.spans import Attributes, Kind

_KINDS: Mapping[Kind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "server": trace.SpanKind.SERVER,
}


class OtelSpan:
    """A `model.tracing.spans.Span`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return trace.format_span_id(self._span.get_span_context().span_id)

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> "OtelSpan":
        """A part of it that begins now."""
        context = trace.set_span_in_context(self._span)
        span = self._tracer.start_span(name, context, _KINDS[kind], dict(attributes))
        return OtelSpan(self._tracer, span)

    def fail(self, error: BaseException) -> None:
        """Note the kind of error; its words may name a user."""
        self._span.set_status(trace.StatusCode.ERROR)
        self._span.set_attribute("error.type", type(error).__name__)

    def answered(self, name: str, status: int, attributes: Attributes) -> None:
        """End the span of a request that was answered with an HTTP status."""
        self._span.update_name(name)
        self._span.set_attributes({"http.response.status_code": status, **attributes})
        if status >= 500:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    def end(self) -> None:
        """It ends now."""
        self._span.end()


class Traces:
    """Begins traces, or goes on with those of callers."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("magnet")

    @classmethod
    def exported(cls, service: str) -> Self:
        """Traces that go to the collector that the environment names."""
        # The name in the environment, if there is one, counts more than this.
        provider = TracerProvider(
            resource=Resource.create({"service.name": service}), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def begin(
        self,
        name: str,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> OtelSpan:
        """A span that begins now; of the caller's trace if the headers name one."""
        context = propagate.extract(headers or {})
        span = self._tracer.start_span(name, context, _KINDS[kind], dict(attributes or {}))
        return OtelSpan(self._tracer, span)

    def close(self) -> None:
        """Send what has not been sent yet. Blocking, some seconds while the collector is away."""
        self._provider.shutdown()
