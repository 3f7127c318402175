"""All metrics of the service, which docs/configuration.md lists.

Labels have a fixed set of values, whatever callers send. The gauges of the latest canary and the
latest retraining are the same in every replica. An unknown value is NaN, which triggers no alert.

Several workers that listen together are one target: whichever is asked answers for all of them.
Where `PROMETHEUS_MULTIPROC_DIR` names a folder, prometheus_client keeps counters and histograms in
its files, one for each worker; they count on when a worker has died.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import Literal, get_args
from wsgiref.simple_server import WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from anyio import to_thread
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from model.registry.canary import Canary
from model.registry.records import RetrainingSummary
from model.tracing.spans import current, part
from service.ops.process import stop
from service.ops.settings import host_of, is_local

_logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client looks at it when it is imported."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ANY = "any"
"""Method label of every path that is no route of the API."""
METHODS = frozenset({ANY, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""Label of every other method, and of every path that is no route of the API."""
Stage = Literal["lookup", "retrieve", "rank", "explain", "serialise"]
STAGES: tuple[Stage, ...] = get_args(Stage)

_AGAIN_SECONDS = 1.0
_REASON_LENGTH = 200
"""Characters, enough for a sentence; Prometheus keeps labels for long."""
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds; fine for usual answers (milliseconds), coarse for slow ones."""
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


@asynccontextmanager
async def metrics_port(
    host: str, port: int | None, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Serve the metrics without a key at a port of their own; None: do nothing.

    Everybody who can reach the port can read them, so the network has to guard it. At a loopback
    address, requests have to name this machine: a page of another site can have the browser ask it
    by the site's own name (DNS rebinding).

    Raises:
        OSError: the port cannot be used. Of several workers whose metrics are one, each tries again
            and again.
    """
    if port is None:
        yield
        return
    if FOLDER_VARIABLE in os.environ:
        task = asyncio.create_task(_when_free(host, port, registry))
        try:
            yield
        finally:
            await stop(task)
        return
    try:
        server, thread = _serving(port, host, registry)
    except OSError as error:
        raise OSError(
            f"MAGNET_METRICS_PORT: {host}:{port} cannot be used ({error.strerror}); name a free "
            "one. Several workers share one if `magnet serve --workers` starts them"
        ) from error
    try:
        yield
    finally:
        await to_thread.run_sync(_close, server, thread)


def _serving(port: int, host: str, registry: CollectorRegistry) -> tuple[WSGIServer, Thread]:
    server, thread = start_http_server(port, host, registry)
    metrics = server.get_app()
    if is_local(host) and metrics is not None:
        server.set_app(partial(_if_named, metrics))
    return server, thread


def _if_named(
    metrics: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    if is_local(host_of(environ.get("HTTP_HOST", "")) or ""):
        return metrics(environ, start_response)
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"ask by the name of this machine: localhost\n"]


async def _when_free(host: str, port: int, registry: CollectorRegistry) -> None:
    """Serve the metrics of all workers, unless another worker does: then, when it has gone."""
    trouble = ""
    while True:
        try:
            server, thread = _serving(port, host, registry)
        except OSError as error:
            if str(error) != trouble:
                trouble = str(error)
                _logger.info("metrics at port %d: another process has it (%s)", port, error)
            await asyncio.sleep(_AGAIN_SECONDS)
            continue
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(to_thread.run_sync(_close, server, thread))


def _close(server: WSGIServer, thread: Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()


class _AllWorkers(MultiProcessCollector):
    """What all workers have counted, also those that have died; gauges of living ones."""

    def __init__(self, folder: str) -> None:
        # Of no registry: the folder is given, so that it is not looked up when something is told.
        super().__init__(None, path=folder)  # type: ignore[no-untyped-call]  # untyped there
        self._folder = Path(folder)

    def collect(self) -> Iterator[Metric]:
        """All of it, read anew."""
        for path in self._folder.glob("gauge_live*_*.db"):
            number = path.stem.rpartition("_")[2]
            if _is_dead(int(number)):
                mark_process_dead(number, str(self._folder))  # type: ignore[no-untyped-call]
        whole = [str(path) for path in self._folder.glob("*.db") if _is_begun(path)]
        yield from self.merge(whole)  # type: ignore[no-untyped-call]


def _is_begun(path: Path) -> bool:
    """Whether a worker has counted in a file: one that was killed too early leaves it empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # it was of a worker that is dead
        return False


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


Value = float | Callable[[], float]
Samples = Mapping[tuple[str, ...], Value]
"""Of one gauge, by the values of its labels."""


class _Known(Collector):
    """Gauges of what this process knows, whose labels change; of all workers the one that is asked.

    prometheus_client's own cannot forget labels when there are several processes.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._samples: dict[str, Samples] = {}

    def add(self, name: str, help_text: str, *labels: str) -> None:
        """A gauge that has no value yet."""
        self._kinds[name] = help_text, labels
        self._samples[name] = {}

    def show(self, name: str, samples: Samples) -> None:
        """The values of a gauge, by its labels, in place of those before."""
        assert name in self._kinds
        self._samples[name] = samples

    def show_one(self, name: str, value: Value) -> None:
        """The value of a gauge without labels."""
        self.show(name, {(): value})

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        for name, (help_text, labels) in self._kinds.items():
            family = GaugeMetricFamily(name, help_text, labels=labels)
            for values, value in self._samples[name].items():
                family.add_metric(values, value() if callable(value) else value)
            yield family


@contextmanager
def _traced(name: Stage, timed: AbstractContextManager[object]) -> Iterator[None]:
    with part(name), timed:
        yield


class Metrics:
    """Every metric of the service."""

    def __init__(self) -> None:
        registry, self._known = CollectorRegistry(), _Known()
        self.registry = registry
        """Of what is told."""
        if (folder := os.environ.get(FOLDER_VARIABLE)) is not None:
            self.registry = CollectorRegistry()
            self.registry.register(_AllWorkers(folder))
        self.registry.register(self._known)
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=_BUCKETS)
        known = self._known.add
        self._requests = counter(
            "magnet_requests", "Requests answered, errors included", ["route", "method", "status"]
        )
        self._request_seconds = histogram(
            "magnet_request_seconds",
            "Time from the head of the request to the last byte of the answer",
            ["route", "method"],
        )
        self._stage_seconds = histogram(
            "magnet_stage_seconds",
            "Time of one stage of an answer: lookup, retrieve, rank, explain, serialise",
            ["stage"],
        )
        self.batch_size = histogram(
            "magnet_batch_size",
            "Requests for recommendations that were computed together",
            buckets=_BATCH_BUCKETS,
        )
        self.waiting = gauge(
            "magnet_waiting_requests",
            "Requests for recommendations that wait to be computed",
            multiprocess_mode="livesum",
        )
        self.overloads = counter(
            "magnet_overloads", "Requests refused because too many were waiting"
        )
        self.shard_failures = counter(
            "magnet_shard_failures",
            "Questions that another shard of the catalogue has not answered",
            ["shard"],
        )
        self.fallbacks = counter(
            "magnet_fallbacks",
            "Answers that could not use the user that was asked for",
            ["reason", "source", "variant"],
        )
        self.answer_seconds = histogram(
            "magnet_answer_seconds",
            "Time to compute a recommendation or an explanation",
            ["variant"],
        )
        self.answer_failures = counter(
            "magnet_answer_failures",
            "Recommendations and explanations that failed with 5xx, by the model that was to serve",
            ["variant"],
        )
        self.kept_asks = counter(
            "magnet_kept_answers",
            "Lists that were asked for: hit if a kept answer was given again, miss if there was "
            "none, changed if it was no longer true",
            ["result"],
        )
        self.kept_evictions = counter(
            "magnet_kept_answers_evictions", "Kept answers that made room for others"
        )
        self.kept_bytes = gauge(
            "magnet_kept_answers_bytes",
            "Memory of kept answers, about",
            multiprocess_mode="livesum",
        )
        self._served_items = counter(
            "magnet_served_items",
            "Items in recommendations, by what they were chosen from",
            ["source"],
        )
        self.served_weight = counter(
            "magnet_served_expert_weight",
            "Sum of the routing weights of one expert over explained items served",
            ["expert", "variant"],
        )
        self.feedback = counter(
            "magnet_feedback_events",
            "Events reported: accepted, duplicate, or refused because too many wait",
            ["result"],
        )
        self.feedback_waiting = gauge(
            "magnet_feedback_waiting_events",
            "Events that training had not taken over when some were last reported here",
            multiprocess_mode="livemostrecent",
        )
        self.experiment_lists = counter(
            "magnet_experiment_lists",
            "Lists for users while a canary was served beside the live model",
            ["variant"],
        )
        self.experiment_responses = counter(
            "magnet_experiment_responses",
            "Lists of an experiment with a first click or purchase, as reported here",
            ["variant", "response"],
        )
        self.auth_refusals = counter(
            "magnet_auth_refusals",
            "Requests turned away: no_key, unknown_key, scope, not_local",
            ["reason"],
        )
        self.rate_limited = counter(
            "magnet_rate_limited",
            "Requests turned away because their key had asked too often",
            ["key"],
        )
        self.loads = counter(
            "magnet_model_loads", "Attempts to load a model version", ["result", "reason"]
        )
        self.source_up = gauge(
            "magnet_source_up",
            "1 if the live version could be looked up the last time",
            multiprocess_mode="livemin",
        )
        known("magnet_model_info", "1 for the version that is served", "model_version")
        known(
            "magnet_retrieval_recall",
            "Share of the 20 best items by routing every item that the served model's search finds",
            "method",
        )
        known(
            "magnet_canary_share",
            "Share of the users whom this process serves from a canary",
            "model_version",
        )
        known("magnet_model_age_seconds", "Time since the served model was made")

        known(
            "magnet_canary_info",
            "1 for the latest canary, by what became of it (running while it runs) and why",
            "model_version",
            "outcome",
            "reason",
        )
        known("magnet_canary_ended_timestamp_seconds", "When the latest canary ended")
        known(
            "magnet_retrain_info",
            "1 for the latest retraining, by its result (running while it runs) and why",
            "run",
            "result",
            "reason",
        )
        known(
            "magnet_retrain_rows",
            "Rows that the latest retraining has counted, by what they are",
            "rows",
        )
        known("magnet_retrain_started_timestamp_seconds", "When the latest retraining began")
        known(
            "magnet_retrain_promoted_timestamp_seconds", "When a retraining last promoted a model"
        )
        known("magnet_retrain_duration_seconds", "How long the latest retraining took")
        self.show_canary(None)
        self.show_retraining(None)
        self._of_route = cache(self._labelled)
        self._of_source = cache(self._served_items.labels)
        self._stages = {name: self._stage_seconds.labels(name) for name in STAGES}

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        """Time one stage of an answer, in its trace too if there is one."""
        timed = self._stages[name].time()
        return _traced(name, timed) if current.get() else timed

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        method = method if method in METHODS else OTHER
        requests, request_seconds = self._of_route(route, method, status)
        requests.inc()
        request_seconds.observe(seconds)

    def served(self, source: str, items: int) -> None:
        """Count the items of one answer, by what they were chosen from."""
        self._of_source(source).inc(items)

    def _labelled(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        """Cached: there are few routes, methods and statuses."""
        requests = self._requests.labels(route, method, str(status))
        return requests, self._request_seconds.labels(route, method)

    def serving(self, model_version: str, created_at: datetime) -> None:
        """Show which version is served from now on."""
        self._known.show("magnet_model_info", {(model_version,): 1})
        made = created_at.timestamp()
        self._known.show_one("magnet_model_age_seconds", lambda: time.time() - made)

    def retrieving(self, method: str, recall: float) -> None:
        """Show how the best items are found from now on, and what share of them is found."""
        self._known.show("magnet_retrieval_recall", {(method,): recall})

    def trying(self, canary: Canary | None) -> None:
        """Show which canary is served from now on, and to what share of the users."""
        share: Samples = {} if canary is None else {(canary.version,): canary.share}
        self._known.show("magnet_canary_share", share)

    def show_canary(self, latest: Canary | None) -> None:
        """Show the latest canary; None: there was none."""
        ended = _timestamp(None if latest is None else latest.ended_at)
        self._known.show_one("magnet_canary_ended_timestamp_seconds", ended)
        info: dict[tuple[str, ...], Value] = {}
        if latest is not None:
            reason = latest.reason[:_REASON_LENGTH]
            info[latest.version, latest.outcome or "running", reason] = 1
        self._known.show("magnet_canary_info", info)

    def show_retraining(self, latest: RetrainingSummary | None) -> None:
        """Show the latest retraining; None: there was none."""
        show, show_one = self._known.show, self._known.show_one
        info: dict[tuple[str, ...], Value] = {}
        started = promoted = seconds = math.nan
        if latest is not None:
            info[latest.run_id, latest.result or "running", latest.reason[:_REASON_LENGTH]] = 1
            started = _timestamp(latest.started_at)
            promoted = _timestamp(latest.last_promoted_at)
            seconds = math.nan if latest.duration_seconds is None else latest.duration_seconds
        show("magnet_retrain_info", info)
        rows: Samples = {}
        if latest is not None:
            rows = {(name,): count for name, count in latest.data.items()}
        show("magnet_retrain_rows", rows)
        show_one("magnet_retrain_started_timestamp_seconds", started)
        show_one("magnet_retrain_promoted_timestamp_seconds", promoted)
        show_one("magnet_retrain_duration_seconds", seconds)

    def text(self) -> bytes:
        """Everything in the text format of `CONTENT_TYPE`."""
        return generate_latest(self.registry)


def _timestamp(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.timestamp()
