"""Watches the record of the latest retraining, so that the service's metrics can tell of it.

Runs beside the requests and never raises. While Redis is away, what was last known stays. Knows the
key; knows nothing about training.
"""

import logging

from pydantic import ValidationError

from model.registry.runs import RetrainingSummary
from service.ops.metrics import RetrainingGauges
from service.ops.process import watch
from service.store.store import RedisStore

_logger = logging.getLogger(__name__)


class RetrainingWatch:
    """One per process that serves from Redis."""

    def __init__(self, store: RedisStore, gauges: RetrainingGauges, pause_seconds: float) -> None:
        self._store = store
        self._gauges = gauges
        self._pause_seconds = pause_seconds
        self._refused: bytes | str | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        await watch(self._look, self._pause_seconds, "the latest retraining")

    async def _look(self) -> None:
        with self._store.answering():
            text = await self._store.client.get(self._store.keys.runs)
        if text is None:
            self._gauges.tell(None)
            return
        try:
            latest = RetrainingSummary.model_validate_json(text)
        except ValidationError as error:
            if text != self._refused:
                _logger.warning("the record of the latest retraining is not usable: %s", error)
            self._refused = text
            return
        self._gauges.tell(latest)
