"""What is looked up in Redis again and again for as long as the process lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from model.registry.records import RetrainingSummary
from service.ops.metrics import RetrainingGauges
from service.schemas.errors import SourceUnavailable
from service.store.store import RedisStore

_logger = logging.getLogger(__name__)


async def watch(look: Callable[[], Awaitable[None]], pause_seconds: float, what: str) -> None:
    """Call `look` until cancelled; a failure is logged, `what` names it.

    A source that does not answer is no failure here: the follower logs it.
    """
    while True:
        try:
            await look()
        except SourceUnavailable:
            pass
        except Exception:
            _logger.exception("%s could not be looked up", what)
        await asyncio.sleep(pause_seconds)


class RetrainingWatch:
    """Shows the latest retraining in the metrics. While Redis is away, the last known stays."""

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
        try:
            latest = None if text is None else RetrainingSummary.model_validate_json(text)
        except ValidationError as error:
            if text != self._refused:
                _logger.warning("the record of the latest retraining is not usable: %s", error)
            self._refused = text
        else:
            self._gauges.tell(latest)
