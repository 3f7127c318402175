"""Gauges that tell of the latest retraining; every replica tells the same.

Knows what is told, not where it comes from. docs/configuration.md lists every metric. What is not
known is NaN, which no alert takes for a number.
"""

import math
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from model.contract.retraining import RetrainingSummary

_REASON_LENGTH = 200
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
