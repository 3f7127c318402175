"""Parts of traces, as OpenTelemetry's own exporter to memory gets them."""

import asyncio
import threading
from contextvars import copy_context

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from model.tracing.otel import Traces
from model.tracing.spans import current, ended, part, together
from service.ops.batching import Batcher, in_a_thread

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Traces:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider)


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_parts_hang_on_what_they_are_parts_of(traces, exporter) -> None:
    with ended((traces.begin("whole"),)), part("outer", "client", place="here"), part("inner"):
        pass
    inner, outer, whole = exporter.get_finished_spans()
    assert [each.name for each in (inner, outer, whole)] == ["inner", "outer", "whole"]
    assert parent(inner) == outer.context.span_id
    assert parent(outer) == whole.context.span_id
    assert parent(whole) is None
    assert outer.attributes == {"place": "here"}
    assert whole.start_time <= outer.start_time <= inner.start_time
    assert inner.end_time <= outer.end_time <= whole.end_time


def test_a_callers_trace_goes_on(traces, exporter) -> None:
    trace_id, span_id = CALLER
    span = traces.begin("asked", "server", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})
    span.end()
    (found,) = exporter.get_finished_spans()
    assert (span.trace_id, f"{parent(found):016x}") == CALLER
    assert span.span_id == f"{found.context.span_id:016x}"


def test_a_caller_who_keeps_no_trace_is_heard(traces, exporter) -> None:
    trace_id, span_id = CALLER
    span = traces.begin("asked", headers={"traceparent": f"00-{trace_id}-{span_id}-00"})
    with ended((span,)), part("of it"):
        assert current.get()[0].trace_id == trace_id
    assert exporter.get_finished_spans() == ()


def test_a_failure_is_told_by_its_kind_and_not_by_its_words(traces, exporter) -> None:
    with pytest.raises(ValueError, match="user u1"), ended((traces.begin("whole"),)), part("some"):
        raise ValueError("of user u1")
    for span in exporter.get_finished_spans():
        assert span.attributes == {"error.type": "ValueError"}
        assert "u1" not in span.to_json()


def test_what_is_done_for_several_is_a_part_of_each(traces, exporter) -> None:
    """Two requests wait for one batch: its thread works for both, and not for the one before."""
    gate = threading.Event()

    def work(jobs):
        gate.wait(60)
        with part("batch"):
            return [f"{job} with {len(jobs)}" for job in jobs]

    async def request(name: str) -> str:
        with ended((traces.begin(name),)):
            return await batcher.run(name)

    async def all_of_them() -> list[str]:
        first = asyncio.create_task(request("first"), context=copy_context())
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(request(name)) for name in ("second", "third")]
        await asyncio.sleep(0)
        gate.set()
        return [await each for each in (first, *others)]

    batcher = Batcher(in_a_thread(work), max_batch=8)
    assert asyncio.run(all_of_them()) == ["first with 1", "second with 2", "third with 2"]
    spans = exporter.get_finished_spans()
    whole = {each.context.span_id: each.name for each in spans if each.name != "batch"}
    parts = [whole[parent(each)] for each in spans if each.name == "batch"]
    assert sorted(parts) == ["first", "second", "third"]


def test_one_who_waits_with_several_jobs_has_the_part_once(traces, exporter) -> None:
    with ended((span := traces.begin("whole"),)), together([(span,), (span,)]), part("batch"):
        pass
    assert [each.name for each in exporter.get_finished_spans()] == ["batch", "whole"]


def test_without_traces_a_part_is_nothing() -> None:
    with part("alone"):
        assert current.get() == ()
