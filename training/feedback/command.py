"""The `events` commands: drain the stream, inspect the log, export events, compact the log."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from model.registry.keys import KeySpace
from training.cli.options import add_server_options
from training.feedback.log import KEEP_DAYS, KEEP_MB, EventLog, EventLogError
from training.feedback.stream import FeedbackStream, drain
from training.publish.connection import connected

_SHOWN_DAYS, _SHOWN_VERSIONS, _SHOWN_REJECTS = 14, 4, 5
_WRITERS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda events, out: events.sink_parquet(out),
    ".csv": lambda events, out: events.sink_csv(out),
    ".jsonl": lambda events, out: events.sink_ndjson(out),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register what it can do."""
    parser.description = "The event log holds every feedback event once, in Parquet files by day."
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    draining = actions.add_parser("drain", help="take what waits in Redis over into the log")
    _add_log(draining)
    add_server_options(draining)
    draining.set_defaults(run=_drain)

    inspecting = actions.add_parser(
        "inspect", help="counts by type, day and model version, size, rejects"
    )
    _add_log(inspecting)
    inspecting.add_argument("--json", action="store_true", help="the same as JSON")
    inspecting.set_defaults(run=_inspect)

    exporting = actions.add_parser("export", help="write events to a .parquet, .csv or .jsonl file")
    _add_log(exporting)
    exporting.add_argument("--out", type=Path, required=True, help="the file; its suffix decides")
    for name, text in (("since", "first"), ("until", "last")):
        exporting.add_argument(
            f"--{name}", type=date.fromisoformat, metavar="DAY", help=f"{text} day of receipt (UTC)"
        )
    exporting.set_defaults(run=_export)

    compacting = actions.add_parser(
        "compact", help="one file per past day; remove days beyond the limits"
    )
    _add_log(compacting)
    compacting.add_argument("--keep-days", type=int, default=KEEP_DAYS, help="default: %(default)s")
    compacting.add_argument(
        "--keep-mb", type=float, default=KEEP_MB, help="10^6 bytes of Parquet; default: %(default)g"
    )
    compacting.set_defaults(run=_compact)


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", type=Path, required=True, help="the log's folder")


def _drain(options: argparse.Namespace) -> None:
    sys.stdout.write(drain_stream(options.log, options.redis_url, options.namespace))


def _inspect(options: argparse.Namespace) -> None:
    found = inspect(options.log)
    sys.stdout.write(json.dumps(found) + "\n" if options.json else as_text(found))


def _export(options: argparse.Namespace) -> None:
    export(options.log, options.out, options.since, options.until)


def _compact(options: argparse.Namespace) -> None:
    sys.stdout.write(compact(options.log, options.keep_days, options.keep_mb))


def drain_stream(folder: Path, redis_url: str, namespace: str) -> str:
    """Take the stream over into the log; a line for people.

    Raises:
        PublishError: Redis cannot be used.
        EventLogError: the log cannot be used.
    """
    with connected(redis_url) as client:
        stream = FeedbackStream(client, KeySpace(namespace))
        drained = drain(stream, EventLog(folder))
        left = len(stream)
    return (
        f"{drained.events} new events, {drained.duplicates} known already, "
        f"{drained.rejected} rejected; {left} have come in meanwhile\n"
    )


def inspect(folder: Path) -> dict[str, Any]:
    """Counts over the whole log, the last days and the last rejects; EventLogError if damaged."""
    log = _existing(folder)
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


def as_text(found: dict[str, Any]) -> str:
    """What `inspect` found, for people."""
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
    return "\n".join(lines) + "\n"


def export(folder: Path, out: Path, since: date | None = None, until: date | None = None) -> None:
    """Write the events of some days of receipt to a file; its suffix decides the format.

    Raises:
        EventLogError: there is no log, or the suffix is unknown.
    """
    if out.suffix not in _WRITERS:
        raise EventLogError(f"--out {out}: the name must end in {', '.join(_WRITERS)}")
    events = _existing(folder).scan()
    day = pl.col("received_at").dt.date()
    if since is not None:
        events = events.filter(day >= since)
    if until is not None:
        events = events.filter(day <= until)
    _WRITERS[out.suffix](events, out)


def compact(folder: Path, keep_days: int = KEEP_DAYS, keep_mb: float = KEEP_MB) -> str:
    """Make one file of each past day, and remove days beyond the limits; a line for people.

    Raises:
        EventLogError: the log cannot be used.
    """
    today = datetime.now(UTC).date()
    with _existing(folder).writing() as writer:
        expired = writer.expire(keep_days=keep_days, keep_mb=keep_mb, today=today)
        compacted = writer.compact(before=today)
    return (
        f"compacted {compacted} days; removed {len(expired.days)} days with "
        f"{expired.events} events\n"
    )


def _existing(folder: Path) -> EventLog:
    if not folder.is_dir():
        raise EventLogError(f"--log {folder}: there is no such folder; `events drain` makes it")
    return EventLog(folder)
