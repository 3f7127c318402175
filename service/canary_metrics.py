"""Gauges that tell of the latest canary; every replica tells the same.

Knows what is told, not where it comes from. docs/configuration.md lists every metric.
"""

import math

from prometheus_client import CollectorRegistry, Gauge

from model.contract.canary import Canary

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
