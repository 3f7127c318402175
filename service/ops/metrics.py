"""All metrics of the service, which docs/configuration.md lists.

The gauges of the latest canary and the latest retraining are the same in every replica. An unknown
value is NaN, which triggers no alert.
"""

import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from functools import cache, partial
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
from model.registry.records import RetrainingSummary

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Stage = Literal["lookup", "retrieve", "rank", "explain", "serialise"]
STAGES: tuple[Stage, ...] = get_args(Stage)

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

    Everybody who can reach the port can read them, so the network has to guard it.

    Raises:
        OSError: the port cannot be used, for example by a second worker.
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


class Metrics:
    """Every metric of the service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=_BUCKETS)
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
            "magnet_waiting_requests", "Requests for recommendations that wait to be computed"
        )
        self.overloads = counter(
            "magnet_overloads", "Requests refused because too many were waiting"
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
            "magnet_source_up", "1 if the live version could be looked up the last time"
        )
        self._model_info = gauge(
            "magnet_model_info", "1 for the version that is served", ["model_version"]
        )
        self._recall = gauge(
            "magnet_retrieval_recall",
            "Share of the 20 best items by routing every item that the served model's search finds",
            ["method"],
        )
        self._canary_share = gauge(
            "magnet_canary_share",
            "Share of the users whom this process serves from a canary",
            ["model_version"],
        )
        self._model_age = gauge("magnet_model_age_seconds", "Time since the served model was made")

        self._canary_info = gauge(
            "magnet_canary_info",
            "1 for the latest canary, by what became of it (running while it runs) and why",
            ["model_version", "outcome", "reason"],
        )
        self._canary_ended = gauge(
            "magnet_canary_ended_timestamp_seconds", "When the latest canary ended"
        )
        self._retrain_info = gauge(
            "magnet_retrain_info",
            "1 for the latest retraining, by its result (running while it runs) and why",
            ["run", "result", "reason"],
        )
        self._retrain_rows = gauge(
            "magnet_retrain_rows",
            "Rows that the latest retraining has counted, by what they are",
            ["rows"],
        )
        self._retrain_started = gauge(
            "magnet_retrain_started_timestamp_seconds", "When the latest retraining began"
        )
        self._retrain_promoted = gauge(
            "magnet_retrain_promoted_timestamp_seconds", "When a retraining last promoted a model"
        )
        self._retrain_seconds = gauge(
            "magnet_retrain_duration_seconds", "How long the latest retraining took"
        )
        self.show_canary(None)
        self.show_retraining(None)
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
        """Cached: there are few routes, methods and statuses."""
        requests = self._requests.labels(route, method, str(status))
        return requests, self._request_seconds.labels(route, method)

    def serving(self, model_version: str, created_at: datetime) -> None:
        """Show which version is served from now on."""
        self._model_info.clear()
        self._model_info.labels(model_version).set(1)
        self._model_age.set_function(lambda: time.time() - created_at.timestamp())

    def retrieving(self, method: str, recall: float) -> None:
        """Show how the best items are found from now on, and what share of them is found."""
        self._recall.clear()
        self._recall.labels(method).set(recall)

    def trying(self, canary: Canary | None) -> None:
        """Show which canary is served from now on, and to what share of the users."""
        self._canary_share.clear()
        if canary is not None:
            self._canary_share.labels(canary.version).set(canary.share)

    def show_canary(self, latest: Canary | None) -> None:
        """Show the latest canary; None: there was none."""
        self._canary_info.clear()
        self._canary_ended.set(_timestamp(None if latest is None else latest.ended_at))
        if latest is not None:
            outcome, reason = latest.outcome or "running", latest.reason[:_REASON_LENGTH]
            self._canary_info.labels(latest.version, outcome, reason).set(1)

    def show_retraining(self, latest: RetrainingSummary | None) -> None:
        """Show the latest retraining; None: there was none."""
        self._retrain_info.clear()
        self._retrain_rows.clear()
        if latest is None:
            for gauge in (self._retrain_started, self._retrain_promoted, self._retrain_seconds):
                gauge.set(math.nan)
            return
        result, reason = latest.result or "running", latest.reason[:_REASON_LENGTH]
        self._retrain_info.labels(latest.run_id, result, reason).set(1)
        for name, count in latest.data.items():
            self._retrain_rows.labels(name).set(count)
        self._retrain_started.set(_timestamp(latest.started_at))
        self._retrain_promoted.set(_timestamp(latest.last_promoted_at))
        seconds = latest.duration_seconds
        self._retrain_seconds.set(math.nan if seconds is None else seconds)

    def text(self) -> bytes:
        """Everything in the text format of `CONTENT_TYPE`."""
        return generate_latest(self.registry)


def _timestamp(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.timestamp()
