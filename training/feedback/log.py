"""The event log: Parquet files by day of receipt (UTC), written once, read as one table.

    events/day=2026-01-31/<place>-<unique>.parquet     see EVENTS
    rejects/day=2026-01-31/<place>-<unique>.parquet    see REJECTS
    id                                                 by which its namespace knows it

Every event id counts once, wherever it stands, so a file that a killed compaction leaves beside its
parts does no harm.
"""

import json
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout
from polars.exceptions import PolarsError
from pydantic import ValidationError

from model.registry.records import EVENT_FIELD, FeedbackEvent, LogOwner
from training.data.files import make_folder, remove_partials, sync, write_durably
from training.errors import ExplainedError

KEEP_DAYS = 730
"""Two years: every season twice."""
KEEP_MB = 10_000.0
"""About 250 million events: some 40 bytes each, as measured on events with random UUIDs as ids."""
_MB = 1e6
_TEXT, _TIME = pl.String(), pl.Datetime("us", "UTC")
EVENTS = pl.Schema(
    dict.fromkeys(["event_id", "user_id", "item_id", "type"], _TEXT)
    | {"timestamp": _TIME, "model_version": _TEXT, "variant": _TEXT}
    | {"rank": pl.Int64(), "request_id": _TEXT, "received_at": _TIME}
)
REJECTS = pl.Schema(
    {"entry_id": _TEXT, "received_at": _TIME, "reason": _TEXT, "payload": pl.Binary()}
)
"""Entries that are no events; `received_at` is the time in the entry's id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream; it has no fields if it was deleted before it was taken over."""

    entry_id: str
    fields: dict[bytes, bytes]


def parse(entries: Iterable[Entry]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and rejects, as frames with these schemas, in the order of the entries."""
    events, rejects = [], []
    for entry in entries:
        if not entry.fields:
            continue
        payload = entry.fields.get(EVENT_FIELD.encode())
        try:
            events.append(FeedbackEvent.model_validate_json(payload or b"").model_dump())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or EVENT_FIELD
            rejects.append(
                {
                    "entry_id": entry.entry_id,
                    # An entry's id begins with its time in Unix milliseconds.
                    "received_at": datetime.fromtimestamp(
                        int(entry.entry_id.partition("-")[0]) / 1000, UTC
                    ),
                    "reason": f"{place}: {first['msg']}",
                    "payload": payload or repr(entry.fields).encode(),
                }
            )
    return pl.DataFrame(events, schema=EVENTS), pl.DataFrame(rejects, schema=REJECTS)


class EventLogError(ExplainedError):
    """The log cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Expired:
    """What retention removed."""

    days: tuple[date, ...] = ()
    events: int = 0


@dataclass(frozen=True, slots=True)
class EventLog:
    """All events in one folder."""

    folder: Path

    @contextmanager
    def writing(self) -> Iterator["LogWriter"]:
        """The right to change the log; it ends when the process ends, even if it is killed.

        Raises:
            EventLogError: another process has it.
        """
        make_folder(self.folder)
        try:
            with FileLock(self.folder / "lock", blocking=False):
                remove_partials(self.folder)
                yield LogWriter(self)
        except Timeout as error:
            raise EventLogError(
                f"another process is writing to the event log {self.folder}; wait for it"
            ) from error

    def days(self) -> dict[date, Path]:
        """The folder of every day that has events, oldest first."""
        return _days(self.folder / "events")

    def num_bytes(self) -> int:
        """Size of all events on disk."""
        return sum(_num_bytes(folder) for folder in self.days().values())

    def scan(self) -> pl.LazyFrame:
        """Every event once, in the order of receipt."""
        return _once(_scan(self.days().values(), EVENTS), "event_id")

    def read(self) -> pl.DataFrame:
        """`scan`, in memory; EventLogError if a file is damaged."""
        return self.collect(self.scan())

    def newest(self) -> datetime | None:
        """When the newest event was received."""
        newest: datetime | None = self.collect(self.scan().select(pl.max("received_at"))).item()
        return newest

    def count_since(self, moment: datetime | None) -> int:
        """Events received after a moment; all for None."""
        events = self.scan()
        if moment is not None:
            events = events.filter(pl.col("received_at") > moment)
        return int(self.collect(events.select(pl.len())).item())

    def rejects(self) -> pl.DataFrame:
        """Entries of the stream that were no events."""
        rejects = _scan(_days(self.folder / "rejects").values(), REJECTS)
        return self.collect(_once(rejects, "entry_id"))

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """A query over `scan`, in memory; EventLogError if a file is damaged."""
        with self.explaining():
            return frame.collect()

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise errors of a query that come of a damaged file as EventLogError, which names it."""
        try:
            yield
        except (PolarsError, OSError) as error:
            damaged = next(filter(None, map(_fault, sorted(self.folder.rglob("*.parquet")))), None)
            if damaged is None:
                raise
            raise EventLogError(
                f"{damaged}; restore the file from a backup, or move it out of the event log and "
                "lose its events"
            ) from error


class LogWriter:
    """Changes a log, under its lock."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def owner(self) -> LogOwner:
        """Which log this is, wherever its folder is moved to; made when it is first asked for."""
        path = self._log.folder / "id"
        if not path.exists():
            log_id = uuid.uuid4().hex
            write_durably(path, lambda partial: partial.write_text(log_id))
        place = f"{self._log.folder.resolve()} on {socket.gethostname()}"
        return LogOwner(log_id=path.read_text(), place=place, since=datetime.now(UTC))

    def append(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add the events whose ids are new, and return them once they are on disk."""
        known = _scan(self._log.days().values(), EVENTS).select("event_id")
        duplicate = self._log.collect(known.join(events.lazy(), on="event_id", how="semi"))
        fresh = _once(events.lazy(), "event_id").collect()
        fresh = fresh.join(duplicate, on="event_id", how="anti", maintain_order="left")
        self._write(fresh, "events")
        return fresh

    def reject(self, rejects: pl.DataFrame) -> None:
        """Keep entries that were no events, for people to look at."""
        self._write(rejects, "rejects")

    def erase(self, until: Mapping[str, datetime]) -> set[str]:
        """Remove events of users, and rejects that name them; returns the ids of the events.

        Args:
            until: by user, when the last event to be removed was received.
        """
        erased = pl.DataFrame(
            {"user_id": list(until), "until": list(until.values())},
            schema={"user_id": _TEXT, "until": _TIME},
        ).lazy()
        ids: set[str] = set()
        for folder in self._log.days().values():
            for part in sorted(folder.glob("*.parquet")):
                events = _scan_parts([part], EVENTS)
                hers = events.join(erased, on="user_id").filter(
                    pl.col("received_at") <= pl.col("until")
                )
                gone = self._log.collect(hers.select("event_id"))["event_id"]
                if len(gone):
                    ids.update(gone)
                    kept = events.filter(~pl.col("event_id").is_in(gone.implode()))
                    _replace(part, self._log.collect(kept))
        names = [json.dumps(user_id, ensure_ascii=False).encode() for user_id in until]
        for folder in _days(self._log.folder / "rejects").values():
            for part in sorted(folder.glob("*.parquet")):
                rejects = self._log.collect(_scan_parts([part], REJECTS))
                usable = rejects.filter(
                    [not any(name in payload for name in names) for payload in rejects["payload"]]
                )
                if len(usable) < len(rejects):
                    _replace(part, usable)
        return ids

    def compact(self, before: date) -> int:
        """Merge the files of each day before a date; returns how many days were compacted."""
        compacted = 0
        for day, folder in self._log.days().items():
            parts = sorted(folder.glob("*.parquet"))
            if day < before and len(parts) > 1:
                events = _scan([folder], EVENTS).sort("received_at", maintain_order=True)
                whole = self._log.collect(_once(events, "event_id"))
                write_durably(_new_part(folder), whole.write_parquet)
                for part in parts:
                    part.unlink()
                sync(folder)
                compacted += 1
        return compacted

    def expire(self, *, keep_days: int, keep_mb: float, today: date) -> Expired:
        """Remove whole days, oldest first: those too old, then as many as are needed to fit.

        Args:
            keep_days: how many days stay, `today` included, which always stays.
            keep_mb: MB (10^6 bytes) that all events may take, and all rejects as well.
            today: in UTC.
        """
        first_kept = today - timedelta(days=keep_days - 1)

        def beyond(days: dict[date, Path]) -> Iterator[tuple[date, Path]]:
            total = sum(map(_num_bytes, days.values()))
            for day, folder in days.items():
                if day >= today or (day >= first_kept and total <= keep_mb * _MB):
                    return
                total -= _num_bytes(folder)
                yield day, folder

        gone: list[date] = []
        events = 0
        for day, folder in beyond(self._log.days()):
            events += self._log.collect(_scan([folder], EVENTS).select(pl.len())).item()
            shutil.rmtree(folder)
            sync(folder.parent)
            gone.append(day)
        for _, folder in beyond(_days(self._log.folder / "rejects")):
            shutil.rmtree(folder)
        return Expired(tuple(gone), events)

    def _write(self, frame: pl.DataFrame, kind: str) -> None:
        by_day = frame.with_columns(day=pl.col("received_at").dt.date())
        for (day,), part in by_day.group_by("day", maintain_order=True):
            folder = self._log.folder / kind / f"day={day}"
            write_durably(_new_part(folder), part.drop("day").write_parquet)


def _days(folder: Path) -> dict[date, Path]:
    return {
        date.fromisoformat(path.name.removeprefix("day=")): path
        for path in sorted(folder.glob("day=*"))
        if any(path.glob("*.parquet"))
    }


def _scan(folders: Iterable[Path], schema: pl.Schema) -> pl.LazyFrame:
    return _scan_parts(
        [part for folder in folders for part in sorted(folder.glob("*.parquet"))], schema
    )


def _scan_parts(parts: list[Path], schema: pl.Schema) -> pl.LazyFrame:
    if not parts:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(parts, schema=schema)


def _fault(part: Path) -> str | None:
    """Why a file of the log cannot be read, if it cannot."""
    schema = REJECTS if part.parents[1].name == "rejects" else EVENTS
    try:
        _scan_parts([part], schema).collect()
    except (PolarsError, OSError) as error:
        return f"{part} cannot be read ({str(error).splitlines()[0]})"
    return None


def _once(frame: pl.LazyFrame, key: str) -> pl.LazyFrame:
    return frame.unique(subset=key, keep="first", maintain_order=True)


def _new_part(folder: Path) -> Path:
    return folder / f"{len(list(folder.glob('*.parquet'))):06d}-{uuid.uuid4().hex}.parquet"


def _replace(part: Path, frame: pl.DataFrame) -> None:
    """Put other rows in the place of a part; a part without rows goes."""
    if len(frame):
        write_durably(part, frame.write_parquet)
    else:
        part.unlink()
        sync(part.parent)


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))
