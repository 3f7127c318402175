"""A dry run: what a retraining would find, without changing anything.

Reads what the job reads; neither drains nor trains.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from model.contract.canary import Canary
from model.contract.keys import KeySpace
from training.dataset import load_dataset
from training.event_log.log import EventLog
from training.event_log.stream import FeedbackStream
from training.publish.connection import connected
from training.publish.control import Control
from training.publish.versions import VersionShelf
from training.retrain.assembly import assemble, inputs_digest
from training.retrain.canary import verdict
from training.retrain.champion import Champion, find_champion
from training.retrain.runs import Runs
from training.retrain.settings import RetrainConfig


def preview(config: RetrainConfig) -> str:
    """What would be done, for people.

    Raises:
        PublishError: Redis cannot be read.
        DataError: the data folder cannot be used.
        EventLogError: the event log is damaged.
    """
    keys = KeySpace(config.namespace)
    with connected(config.redis_url) as client:
        waiting = len(FeedbackStream(client, keys))
        live = VersionShelf(client, keys).live()
        canary = Control(client, keys).canary()
    event_log = EventLog(config.state / "events")
    events = event_log.read()
    with tempfile.TemporaryDirectory(prefix="retrain-") as scratch:
        assembled = assemble(config.data, events, config.events.weights, Path(scratch) / "data")
        data = assembled.config.model_copy(update={"modalities": config.data.modalities})
        summary = load_dataset(data).summary
    champion = find_champion(Runs(config.state), live, assembled.tested_from)
    lines = [
        f"would take over {waiting} entries that wait in Redis",
        f"training set without them: {summary}",
        f"  from {assembled.base_pairs} pairs of {config.data.folder} and {assembled.counted} of "
        f"{assembled.events} events in the log",
        *(f"  {count} events rejected: {reason}" for reason, count in assembled.rejected.items()),
        f"live: {live or 'nothing'}",
        *_of_canary(canary, config),
        _of_training(champion, config, waiting + event_log.count_since(champion.newest_event)),
        f"gate: {config.gate.model_dump_json()}",
    ]
    return "\n".join(lines) + "\n"


def _of_training(champion: Champion, config: RetrainConfig, new_events: int) -> str:
    """What would become of it; entries that wait are taken for new events."""
    needed = config.gate.min_new_events
    nothing_new = champion.nothing_new(inputs_digest(config), new_events, needed)
    if nothing_new:
        return f"would end unchanged: {nothing_new}"
    if not config.warm_start.enabled:
        return "would train from scratch: warm_start.enabled is false"
    if champion.weights is None:
        return f"would train from scratch: {champion.why_not}"
    return f"would go on from the weights of {champion.version} and compare with it"


def _of_canary(latest: tuple[Canary, int] | None, config: RetrainConfig) -> list[str]:
    if latest is None or latest[0].outcome is not None:
        return []
    wait = verdict(*latest, datetime.now(UTC), config.canary)
    if wait is None:
        return [f"would promote the canary {latest[0].version} first"]
    return [f"would stop after taking events over: {wait}"]
