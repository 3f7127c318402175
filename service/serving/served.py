"""The models that are served, which of them a user gets, and how each has done so far.

A request captures the immutable `Models`. Letters: K experts.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.registry.canary import Canary
from model.registry.records import Variant
from service.ops.metrics import Metrics
from service.schemas.errors import InvalidRequest, RequestRefused
from service.serving.snapshot import Snapshot


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was counted until now, or between two times."""

    answers: int
    failures: int
    """Requests that got a status of 5xx, or would have."""
    routed: int
    """Lists whose routing was counted."""
    weight_K: NDArray[np.float64]
    """Sum of the routing weights of their items."""

    @property
    def requests(self) -> int:
        """Answers and failures."""
        return self.answers + self.failures

    def since(self, start: "Counts") -> "Counts":
        """What was counted after `start`."""
        return Counts(
            answers=self.answers - start.answers,
            failures=self.failures - start.failures,
            routed=self.routed - start.routed,
            weight_K=self.weight_K - start.weight_K,
        )


class ServingStatistics:
    """How one model does in one role: answers, failures, and how its lists were routed.

    Counts only grow, and only the event loop counts.
    """

    def __init__(self, experts: Sequence[str], metrics: Metrics, variant: Variant) -> None:
        self._weights = [metrics.served_weight.labels(name, variant) for name in experts]
        self._seconds = metrics.answer_seconds.labels(variant)
        self._failed = metrics.answer_failures.labels(variant)
        self._counts = Counts(answers=0, failures=0, routed=0, weight_K=np.zeros(len(experts)))
        self._shown_K = np.zeros(len(experts))
        """As far as the metric knows."""
        self._will_show = False

    def counts(self) -> Counts:
        """A copy of what has been counted so far."""
        return replace(self._counts, weight_K=self._counts.weight_K.copy())

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Count the block as an answer or a failure; a caller's own fault is neither."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:  # also the cancellation at the deadline
            if not isinstance(error, RequestRefused) or error.status >= 500:
                self._counts.failures += 1
                self._failed.inc()
            raise
        self._counts.answers += 1
        self._seconds.observe(time.perf_counter() - started)

    def routed(self, weight_K: NDArray[np.floating]) -> None:
        """Count how the items of a list were routed: the sum of their weights.

        The metric has them a moment later, those of all lists that are answered together at once:
        its counters take longer than all else that is counted.
        """
        self._counts.routed += 1
        self._counts.weight_K += weight_K
        if not self._will_show:
            self._will_show = True
            asyncio.get_running_loop().call_soon(self._show)

    def _show(self) -> None:
        self._will_show = False
        new_K = self._counts.weight_K - self._shown_K
        self._shown_K[:] = self._counts.weight_K  # not += new_K: rounded, a later one might be < 0
        for counter, weight in zip(self._weights, new_K.tolist(), strict=True):
            counter.inc(weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model in its role, live or canary."""

    snapshot: Snapshot
    variant: Variant
    statistics: ServingStatistics

    @classmethod
    def of(cls, snapshot: Snapshot, variant: Variant, metrics: Metrics) -> "Served":
        """Begin to serve a model in a role."""
        experts = [expert.name for expert in snapshot.manifest.experts]
        statistics = ServingStatistics(experts, metrics, variant)
        return cls(snapshot=snapshot, variant=variant, statistics=statistics)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCanary:
    """A canary and its loaded model."""

    record: Canary
    model: Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What is served at one moment."""

    live: Served
    canary: ServedCanary | None = None

    def of(self, user_id: str | None) -> Served:
        """The model of a user; a request that names nobody gets the live one."""
        if self.canary is None or user_id is None or not self.canary.record.takes(user_id):
            return self.live
        return self.canary.model

    def asked(self, user_id: str | None, version: str | None, place: str = "") -> Served:
        """The model of a version, or that of the user if none is named; InvalidRequest.

        `place` is what the name of the field begins with.
        """
        if version is None:
            return self.of(user_id)
        live, canary = self.live.snapshot.version, self.canary
        if version == live:
            return self.live
        if canary is not None and version == canary.record.version:
            return canary.model
        beside = "no canary runs" if canary is None else f"{canary.record.version} is the canary"
        raise InvalidRequest.of(
            f"{place}model_version", f"{version!r} is not served: {live} is live, and {beside}"
        )

    def variant_of(self, version: str | None) -> Variant | None:
        """The role of a version, if it is served."""
        if version == self.live.snapshot.version:
            return "champion"
        if self.canary is not None and version == self.canary.record.version:
            return "challenger"
        return None
