"""The metric catalogue; each application has a registry of its own.

Knows what is counted, not where. docs/configuration.md lists every metric.
"""

# FOLDED service/ops/metrics.py: Gauges that tell of the latest canary; every replica tells the same.
#
#   Knows what is told, not where it comes from. docs/configuration.md lists every metric.
#
# FOLDED service/ops/metrics.py: Metrics at a port of their own, for a Prometheus that has no key.
#
#   Knows a registry and an address; knows nothing about routes. Whoever can reach the port can read it:
#   the network has to guard it.
#
# FOLDED service/ops/metrics.py: Gauges that tell of the latest retraining; every replica tells the same.
#
#   Knows what is told, not where it comes from. docs/configuration.md lists every metric. What is not
#   known is NaN, which no alert takes for a number.
#

import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Literal, get_args

from anyio import to_thread
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

from model.registry.canary import Canary
from model.registry.runs import RetrainingSummary

_REASON_LENGTH = 200
"""Characters: enough for a sentence; a label is kept for as long as its series."""


class CanaryGauges:
    """One per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            "magnet_canary_info",
            "1 for the latest canary, by what became of it (running while it runs) and why",
            ["model_version", "outcome", "reason"],
            registry=registry,
        )
        self._ended = Gauge(
            "magnet_canary_ended_timestamp_seconds",
            "When the latest canary ended",
            registry=registry,
        )
        self.tell(None)

    def tell(self, latest: Canary | None) -> None:
        """Say what is known; None if there was none."""
        self._info.clear()
        ended = None if latest is None else latest.ended_at
        self._ended.set(math.nan if ended is None else ended.timestamp())
        if latest is not None:
            outcome = latest.outcome or "running"
            self._info.labels(latest.version, outcome, latest.reason[:_REASON_LENGTH]).set(1)


@asynccontextmanager
async def metrics_port(
    host: str, port: int | None, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Answer with what the registry holds, in threads of its own; without a port do nothing.

    Raises:
        OSError: the port cannot be listened at, as by the second worker of one machine.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(
            f"MAGNET_METRICS_PORT: {host}:{port} cannot be used ({error.strerror}); every process "
            "needs a port of its own, so with several workers take away that setting"
        ) from error
    try:
        yield
    finally:
        await to_thread.run_sync(server.shutdown)
        server.server_close()
        thread.join()


"""Characters: enough for a sentence; a label is kept for as long as its series."""


class RetrainingGauges:
    """One per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            "magnet_retrain_info",
            "1 for the latest retraining, by its result (running while it runs) and why",
            ["run", "result", "reason"],
            registry=registry,
        )
        self._rows = Gauge(
            "magnet_retrain_rows",
            "Rows that the latest retraining has counted, by what they are",
            ["rows"],
            registry=registry,
        )
        self._started = Gauge(
            "magnet_retrain_started_timestamp_seconds",
            "When the latest retraining began",
            registry=registry,
        )
        self._promoted = Gauge(
            "magnet_retrain_promoted_timestamp_seconds",
            "When a retraining last promoted a model",
            registry=registry,
        )
        self._seconds = Gauge(
            "magnet_retrain_duration_seconds",
            "How long the latest retraining took",
            registry=registry,
        )
        self.tell(None)

    def tell(self, latest: RetrainingSummary | None) -> None:
        """Say what is known; None if there was none."""
        self._info.clear()
        self._rows.clear()
        if latest is None:
            for gauge in (self._started, self._promoted, self._seconds):
                gauge.set(math.nan)
            return
        reason = latest.reason[:_REASON_LENGTH]
        self._info.labels(latest.run_id, latest.result or "running", reason).set(1)
        for name, count in latest.data.items():
            self._rows.labels(name).set(count)
        self._started.set(latest.started_at.timestamp())
        self._promoted.set(_timestamp(latest.last_promoted_at))
        seconds = latest.duration_seconds
        self._seconds.set(math.nan if seconds is None else seconds)


def _timestamp(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.timestamp()


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds; fine where an answer is expected (milliseconds), coarse where something is wrong."""


Stage = Literal["lookup", "retrieve", "rank", "explain", "serialise"]
STAGES: tuple[Stage, ...] = get_args(Stage)


_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Every metric of the service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "magnet_requests",
            "Requests answered, errors included",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "magnet_request_seconds",
            "Time from the head of the request to the last byte of the answer",
            ["route", "method"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "magnet_stage_seconds",
            "Time of one stage of an answer: lookup, retrieve, rank, explain, serialise",
            ["stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "magnet_batch_size",
            "Requests for recommendations that were computed together",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "magnet_waiting_requests",
            "Requests for recommendations that wait to be computed",
            registry=self.registry,
        )
        self.overloads = Counter(
            "magnet_overloads",
            "Requests refused because too many were waiting",
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "magnet_fallbacks",
            "Answers that could not use the user that was asked for",
            ["reason", "source", "variant"],
            registry=self.registry,
        )
        self.answer_seconds = Histogram(
            "magnet_answer_seconds",
            "Time to compute a recommendation or an explanation",
            ["variant"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.answer_failures = Counter(
            "magnet_answer_failures",
            "Recommendations and explanations that failed with 5xx, by the model that was to serve",
            ["variant"],
            registry=self.registry,
        )
        self._served_items = Counter(
            "magnet_served_items",
            "Items in recommendations, by what they were chosen from",
            ["source"],
            registry=self.registry,
        )
        self.served_weight = Counter(
            "magnet_served_expert_weight",
            "Sum of the routing weights of one expert over explained items served",
            ["expert", "variant"],
            registry=self.registry,
        )
        self.feedback = Counter(
            "magnet_feedback_events",
            "Events reported: accepted, duplicate, or refused because too many wait",
            ["result"],
            registry=self.registry,
        )
        self.feedback_waiting = Gauge(
            "magnet_feedback_waiting_events",
            "Events that training had not taken over when some were last reported here",
            registry=self.registry,
        )
        self.auth_refusals = Counter(
            "magnet_auth_refusals",
            "Requests turned away: no_key, unknown_key, scope, not_local",
            ["reason"],
            registry=self.registry,
        )
        self.rate_limited = Counter(
            "magnet_rate_limited",
            "Requests turned away because their key had asked too often",
            ["key"],
            registry=self.registry,
        )
        self.loads = Counter(
            "magnet_model_loads",
            "Attempts to load a model version",
            ["result", "reason"],
            registry=self.registry,
        )
        self.source_up = Gauge(
            "magnet_source_up",
            "1 if the live version could be looked up the last time",
            registry=self.registry,
        )
        self._model_info = Gauge(
            "magnet_model_info",
            "1 for the version that is served",
            ["model_version"],
            registry=self.registry,
        )
        self._recall = Gauge(
            "magnet_retrieval_recall",
            "Share of the 20 best items by routing every item that the served model's search finds",
            ["method"],
            registry=self.registry,
        )
        self._canary_share = Gauge(
            "magnet_canary_share",
            "Share of the users whom this process serves from a canary",
            ["model_version"],
            registry=self.registry,
        )
        self._model_age = Gauge(
            "magnet_model_age_seconds",
            "Time since the served model was made",
            registry=self.registry,
        )

        self._of_route = cache(self._labelled)
        self._of_source = cache(self._served_items.labels)
        self._stages = {name: self._stage_seconds.labels(name) for name in STAGES}

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        """Time one stage of an answer."""
        return self._stages[name].time()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        requests, request_seconds = self._of_route(route, method, status)
        requests.inc()
        request_seconds.observe(seconds)

    def served(self, source: str, items: int) -> None:
        """Count the items of one answer, by what they were chosen from."""
        self._of_source(source).inc(items)

    def _labelled(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        """Looked up once: labels are made of few routes, methods and statuses."""
        requests = self._requests.labels(route, method, str(status))
        return requests, self._request_seconds.labels(route, method)

    def serving(self, model_version: str, created_at: datetime) -> None:
        """Say which version is served from now on."""
        self._model_info.clear()
        self._model_info.labels(model_version).set(1)
        self._model_age.set_function(lambda: time.time() - created_at.timestamp())

    def retrieving(self, method: str, recall: float) -> None:
        """Say how the best items are found from now on, and how many of them are."""
        self._recall.clear()
        self._recall.labels(method).set(recall)

    def trying(self, canary: Canary | None) -> None:
        """Say which canary is served from now on, to how many."""
        self._canary_share.clear()
        if canary is not None:
            self._canary_share.labels(canary.version).set(canary.share)

    def text(self) -> bytes:
        """Everything in the text format of `CONTENT_TYPE`."""
        return generate_latest(self.registry)
