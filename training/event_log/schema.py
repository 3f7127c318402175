"""Columns of the log, and what a stream's entries become: events, or rejects with a reason.

Knows the contract's event; knows nothing about files or Redis.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from pydantic import ValidationError

from model.contract.feedback import EVENT_FIELD, FeedbackEvent

_TEXT, _TIME = pl.String(), pl.Datetime("us", "UTC")
EVENTS = pl.Schema(
    {
        "event_id": _TEXT,
        "user_id": _TEXT,
        "item_id": _TEXT,
        "type": _TEXT,
        "timestamp": _TIME,
        "model_version": _TEXT,
        "variant": _TEXT,
        "rank": pl.Int64(),
        "received_at": _TIME,
    }
)
REJECTS = pl.Schema(
    {"entry_id": _TEXT, "received_at": _TIME, "reason": _TEXT, "payload": pl.Binary()}
)
"""Entries that are no events; `received_at` is the time in the entry's id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream; no fields if it was deleted while somebody was to take it over."""

    entry_id: str
    fields: dict[bytes, bytes]


def parse(entries: Iterable[Entry]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and rejects, each a frame of its schema in the order of the entries."""
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
                    "received_at": _time_of(entry.entry_id),
                    "reason": f"{place}: {first['msg']}",
                    "payload": payload or repr(entry.fields).encode(),
                }
            )
    return pl.DataFrame(events, schema=EVENTS), pl.DataFrame(rejects, schema=REJECTS)


def _time_of(entry_id: str) -> datetime:
    """A stream's entry ids begin with Unix milliseconds."""
    return datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
