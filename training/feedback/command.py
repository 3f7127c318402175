"""The `events` commands: drain the stream, inspect the log, export events, compact the log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import polars as pl

from model.registry.keys import KeySpace
from training.cli.options import FOLDER
from training.data.files import write_durably
from training.data.tables import writing
from training.feedback.log import KEEP_DAYS, KEEP_MB, EventLog, EventLogError
from training.feedback.stream import FeedbackStream, drain, erase_from_log
from training.publish.command import server_options
from training.publish.connection import connected

_SHOWN_DAYS, _SHOWN_VERSIONS, _SHOWN_REJECTS = 14, 4, 5
_WRITERS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda events, out: events.sink_parquet(out),
    ".csv": lambda events, out: events.sink_csv(out),
    ".jsonl": lambda events, out: events.sink_ndjson(out),
}

log_option = click.option("--log", type=FOLDER, required=True, help="the log's folder")
_DAY = click.DateTime(["%Y-%m-%d"])


@click.group
def events() -> None:
    """The event log holds every feedback event once, in Parquet files by day."""


@events.command("drain", short_help="take what waits in Redis over into the log")
@log_option
@server_options
def drain_command(log: Path, redis_url: str, namespace: str) -> None:
    """Take what waits in Redis over into the log, and users who are to be forgotten out of it."""
    with connected(redis_url) as client:
        stream = FeedbackStream(client, KeySpace(namespace))
        drained = drain(stream, EventLog(log))
        erase_from_log(client, KeySpace(namespace), EventLog(log))
        left = len(stream)
    click.echo(
        f"{drained.events} new events, {drained.duplicates} known already, "
        f"{drained.rejected} rejected; {left} have come in meanwhile"
    )


@events.command
@log_option
@server_options
def claim(log: Path, redis_url: str, namespace: str) -> None:
    """Let a log take the events of a namespace from now on, in the place of another one.

    Needed only when the log that took them so far is lost. The events in that one stay there.
    """
    with connected(redis_url) as client, EventLog(log).writing() as writer:
        stream = FeedbackStream(client, KeySpace(namespace))
        before = stream.owner()
        stream.give_to(writer.owner())
    click.echo(f"{log} takes the events of {namespace}; before: {before and before.place}")


@events.command
@log_option
@click.option("--json", "as_json", is_flag=True, help="the same as JSON")
def inspect(log: Path, as_json: bool) -> None:
    """Counts by type, day and model version, size, rejects."""
    found = _inspected(_existing(log))
    click.echo(json.dumps(found) if as_json else _as_text(found))


def _inspected(log: EventLog) -> dict[str, Any]:
    """Counts over the whole log, the last days and the last rejects."""
    events, rejects = log.read(), log.rejects()
    by_day = events.group_by(pl.col("received_at").dt.date().cast(pl.String)).len()
    return {
        "events": len(events),
        "users": events["user_id"].n_unique(),
        "items": events["item_id"].n_unique(),
        "days": len(log.days()),
        "bytes": log.num_bytes(),
        "by_type": dict(events["type"].value_counts(sort=True).iter_rows()),
        "last_days": dict(by_day.sort("received_at").tail(_SHOWN_DAYS).iter_rows()),
        "last_versions": _by_version(events),
        "rejects": len(rejects),
        "last_rejects": [
            {name: row[name] for name in ("entry_id", "reason", "payload")}
            for row in rejects.tail(_SHOWN_REJECTS).iter_rows(named=True)
        ],
    }


def _by_version(events: pl.DataFrame) -> list[dict[str, Any]]:
    """Counts by type of the events that followed answers of the last versions."""
    answered = events.filter(pl.col("model_version").is_not_null())
    newest = answered.group_by("model_version").agg(pl.col("received_at").max()).sort("received_at")
    last = newest["model_version"].tail(_SHOWN_VERSIONS).implode()
    return list(
        answered.filter(pl.col("model_version").is_in(last))
        .group_by("model_version", "variant", "type")
        .len(name="events")
        .select("model_version", "variant", "type", "events")
        .sort(
            ["model_version", "variant", "events", "type"], descending=[False, False, True, False]
        )
        .iter_rows(named=True)
    )


def _as_text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['events']} events of {found['users']} users on {found['items']} items in "
        f"{found['days']} days, {found['bytes'] / 1e6:.1f} MB"
    ]
    lines += [f"  {kind:12s}{count:10d}" for kind, count in found["by_type"].items()]
    lines += [f"  {day}  {count:10d}" for day, count in found["last_days"].items()]
    for row in found["last_versions"]:
        whose = f"  {row['model_version']:28s}{row['variant'] or '':12s}"
        lines.append(f"{whose}{row['type']:12s}{row['events']:10d}")
    lines.append(f"{found['rejects']} entries of the stream were no events")
    lines += [
        f"  {row['entry_id']}  {row['reason']}: {row['payload'][:120]!r}"
        for row in found["last_rejects"]
    ]
    return "\n".join(lines)


@events.command
@log_option
@click.option("--out", type=FOLDER, required=True, help="the file; its suffix decides")
@click.option("--since", type=_DAY, metavar="DAY", help="first day of receipt (UTC)")
@click.option("--until", type=_DAY, metavar="DAY", help="last day of receipt (UTC)")
def export(log: Path, out: Path, since: datetime | None, until: datetime | None) -> None:
    """Write events to a .parquet, .csv or .jsonl file."""
    if out.suffix not in _WRITERS:
        raise EventLogError(f"--out {out}: the name must end in {', '.join(_WRITERS)}")
    existing = _existing(log)
    logged = existing.scan()
    day = pl.col("received_at").dt.date()
    if since is not None:
        logged = logged.filter(day >= since.date())
    if until is not None:
        logged = logged.filter(day <= until.date())
    with writing(out, "name another file with --out"), existing.explaining():
        write_durably(out, partial(_WRITERS[out.suffix], logged))


@events.command
@log_option
@click.option("--keep-days", type=int, default=KEEP_DAYS, show_default=True)
@click.option(
    "--keep-mb", type=float, default=KEEP_MB, show_default=True, help="10^6 bytes of Parquet"
)
def compact(log: Path, keep_days: int, keep_mb: float) -> None:
    """One file per past day; remove days beyond the limits."""
    today = datetime.now(UTC).date()
    with _existing(log).writing() as writer:
        expired = writer.expire(keep_days=keep_days, keep_mb=keep_mb, today=today)
        compacted = writer.compact(before=today)
    click.echo(
        f"compacted {compacted} days; removed {len(expired.days)} days with {expired.events} events"
    )


def _existing(folder: Path) -> EventLog:
    if not folder.is_dir():
        raise EventLogError(f"--log {folder}: there is no such folder; `events drain` makes it")
    return EventLog(folder)
