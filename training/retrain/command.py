"""The `retrain` command: one run, or a preview of one that changes nothing."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click

from model.registry.keys import KeySpace
from model.registry.state import State
from model.tracing.setup import traces_wanted
from model.tracing.spans import ended
from training.cli.options import FILE, FOLDER, ray_option, usable_namespace
from training.data.dataset import load_dataset
from training.feedback.log import EventLog
from training.feedback.stream import FeedbackStream
from training.publish.connection import LockHeldError, connected
from training.publish.registry import Registry
from training.retrain.job import retrain
from training.retrain.live_model import LiveModel, find_live_model
from training.retrain.rules import verdict
from training.retrain.runs import Result, Runs
from training.retrain.settings import RetrainConfig, read_config
from training.retrain.training_set import assemble, inputs_digest


def preview(config: RetrainConfig) -> str:
    """What would be done, for people.

    Raises:
        PublishError: Redis cannot be read.
        DataError: the data folder cannot be used.
        EventLogError: the event log is damaged.
    """
    keys = KeySpace(config.namespace)
    with connected(config.redis_url) as client:
        stream = FeedbackStream(client, keys)
        waiting, owner = len(stream), stream.owner()
        registry = Registry(client, keys)
        state = registry.state()
        canary = _of_canary(state, registry, config)
    event_log = EventLog(config.state / "events")
    events = event_log.read()
    with tempfile.TemporaryDirectory(prefix="retrain-") as scratch:
        assembled = assemble(config.data, events, config.events, Path(scratch) / "data")
        data = assembled.config.model_copy(update={"modalities": config.data.modalities})
        summary = load_dataset(data).summary
    model = find_live_model(Runs(config.state), state.live, assembled.tested_from)
    lines = [
        f"would take over {waiting} entries that wait in Redis",
        *([f"  they belong to the event log {owner.place}"] if owner else []),
        f"training set without them: {summary}",
        f"  from {assembled.base_pairs} pairs of {config.data.folder} and {assembled.counted} of "
        f"{assembled.events} events in the log",
        *(f"  {count} events rejected: {reason}" for reason, count in assembled.rejected.items()),
        *(f"  {line}" for line in assembled.left_out),
        f"live: {state.live or 'nothing'}",
        *canary,
        _of_training(model, config, waiting + event_log.count_since(model.newest_event)),
        f"gate: {config.gate.model_dump_json()}",
    ]
    return "\n".join(lines) + "\n"


def _of_training(live: LiveModel, config: RetrainConfig, new_events: int) -> str:
    """What the training would do; entries that wait count as new events."""
    needed = config.gate.min_new_events
    if nothing_new := live.nothing_new(inputs_digest(config), new_events, needed):
        return f"would end unchanged: {nothing_new}"
    if not config.warm_start.enabled:
        return "would train from scratch: warm_start.enabled is false"
    if live.weights is None:
        return f"would train from scratch: {live.why_not}"
    return f"would go on from the weights of {live.version} and compare with it"


def _of_canary(state: State, registry: Registry, config: RetrainConfig) -> list[str]:
    if state.running is None:
        return []
    found, now = registry.experiment(state.running), datetime.now(UTC)
    wait = verdict(state.running, state.canary_answers, now, config.canary, found)
    if wait is None:
        return [f"would promote the canary {state.running.version} first"]
    return [f"would stop after taking events over: {wait}"]


REFUSED, LOCKED = 3, 4
_STATUS: dict[Result | None, int] = {"promoted": 0, "canary": 0, "unchanged": 0, "refused": REFUSED}
_EPILOG = """\b
exit status:
  0  a new model is live (or a canary, or stored while another is pinned), or nothing was to do
  1  a fault; the message says which, and nothing live was changed
  2  the command line is wrong
  3  the promotion rules refused the new model; it is kept for inspection, the live one serves on
  4  another retraining holds the lock
  143  stopped by SIGTERM"""


@click.command(epilog=_EPILOG)
@click.option(
    "--config",
    type=FILE,
    required=True,
    help="TOML, see docs/lifecycle.md",
)
@click.option("--data", type=FOLDER, help="instead of data.folder in the file")
@click.option("--state", type=FOLDER, help="instead of state in the file")
@click.option(
    "--redis-url",
    envvar="REDIS_URL",
    help="instead of redis_url in the file  [default: the variable REDIS_URL]",
)
@click.option("--namespace", callback=usable_namespace, help="instead of namespace in the file")
@click.option("--dry-run", is_flag=True, help="say what would be done, and change nothing")
@click.option(
    "--json", "as_json", is_flag=True, help="print the run's record as JSON on standard output"
)
@ray_option
def retrain_command(
    config: Path,
    dry_run: bool,
    as_json: bool,
    data: Path | None,
    address: str | None,
    **instead: object,
) -> int:
    """Take feedback over, train, compare with the live model, and publish if no worse.

    One run: take feedback over into the event log, train on it and on the data folder, from the
    live model's weights where they fit, compare both models on the newest positives, and publish
    the new one if the promotion rules let it through. Run it by cron: to kill it and to repeat it
    are both safe.
    """
    settings = read_config(config, {"data.folder": data, **instead})
    if dry_run:
        click.echo(preview(settings), nl=False)
        return 0
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        with _traced():
            record = retrain(settings, address)
    except LockHeldError as error:
        click.echo(str(error), err=True)
        return LOCKED
    finally:
        signal.signal(signal.SIGTERM, before)
    click.echo(record.model_dump_json() if as_json else f"{record.result}: {record.reason}")
    return _STATUS[record.result]


@contextmanager
def _traced() -> Iterator[None]:
    """Tell of the run and its steps in a trace, if traces are wanted."""
    try:
        traces = traces_wanted(os.environ, "magnet-retrain")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if traces is None:
        yield
        return
    try:
        with ended((traces.begin("retrain"),)):
            yield
    finally:
        traces.close()


def _stop(number: int, _: FrameType | None) -> None:
    """Raise SystemExit, so that the lock is released and the run is recorded."""
    sys.exit(128 + number)
