"""Counts what an experiment compares: lists that were shown, clicks on them, purchases.

Lists are gathered here and reported about once a second, so that no request waits for it. What
cannot be reported is left out, of both variants alike.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from model.registry.canary import Canary
from model.registry.records import EVENT_WEIGHTS, FeedbackEvent, Variant
from service.ops.metrics import Metrics
from service.schemas.errors import SourceUnavailable
from service.serving.served import Models, ServedCanary
from service.store.experiments import Experiments, Response

REPORT_SECONDS = 1.0
"""How long lists are gathered. Nobody reads a list and clicks much faster."""

_logger = logging.getLogger(__name__)


class ExperimentCounter:
    """One per process that serves from Redis."""

    def __init__(self, experiments: Experiments, metrics: Metrics) -> None:
        self._experiments = experiments
        self._metrics = metrics
        self._shown = {each: metrics.experiment_lists.labels(each) for each in get_args(Variant)}
        self._canary: Canary | None = None
        """The one of `_lists`."""
        self._champion_version = ""
        self._lists: Counter[str] = Counter()
        """Lists by user since the last report."""

    def shown(self, models: Models, user_id: str | None, variant: Variant) -> None:
        """Note a list for a user, if an experiment runs here.

        Sessions without a user are not drawn by chance, so they are no part of it. Nor is a list of
        the other version, which somebody has asked for by its name.
        """
        if models.canary is None or user_id is None or models.of(user_id).variant != variant:
            return
        self._turn_to(models, models.canary)
        self._lists[user_id] += 1
        self._shown[variant].inc()

    async def report(self) -> None:
        """Add what was gathered to the counts of all replicas; SourceUnavailable."""
        await self._report(())

    async def responded(self, models: Models | None, events: Sequence[FeedbackEvent]) -> None:
        """Count clicks and purchases among new events. Never fails."""
        if models is None or models.canary is None:
            return
        champion_version = models.live.snapshot.version
        responses = list(_responses(models.canary.record, champion_version, events))
        if not responses:
            return
        self._turn_to(models, models.canary)
        try:
            await self._report(responses)
        except SourceUnavailable as error:
            _logger.warning("%d responses are not in the experiment: %s", len(responses), error)

    def _turn_to(self, models: Models, canary: ServedCanary) -> None:
        """Forget what was gathered for another canary, or before its share changed."""
        if canary.record is not self._canary and canary.record != self._canary:
            self._canary, self._champion_version = canary.record, models.live.snapshot.version
            self._lists = Counter()

    async def _report(self, responses: Sequence[Response]) -> None:
        lists, self._lists = self._lists, Counter()
        if self._canary is None or not (lists or responses):
            return
        told = await self._experiments.count(self._canary, self._champion_version, lists, responses)
        for variant, kind in told:
            self._metrics.experiment_responses.labels(variant, kind).inc()


def _responses(
    canary: Canary, champion_version: str, events: Sequence[FeedbackEvent]
) -> Iterator[Response]:
    """The events that answer a list of this experiment.

    An event has to name the variant that its user gets, and no other version. It must have
    happened since the canary began. Events without a `request_id` count as of one list a day.
    """
    versions = {"champion": champion_version, "challenger": canary.version}
    for event in events:
        variant = canary.variant_of(event.user_id)
        if (
            EVENT_WEIGHTS.get(event.type, 0) > 0
            and event.variant == variant
            and event.model_version in (None, versions[variant])
            and event.timestamp >= canary.started_at
        ):
            of = event.request_id or f"{event.timestamp:%Y-%m-%d}"
            named = f"{event.user_id}\n{of}".encode()
            yield Response(
                user_id=event.user_id,
                list_id=hashlib.sha256(named).digest()[:8],
                kind="purchased" if event.type == "purchase" else "clicked",
            )
