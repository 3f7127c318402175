"""Cursors: where the next page of a listing begins. Callers hand them back as they are.

A cursor names the last entry of its page, not how many there were: what comes or goes meanwhile
moves no other entry from one page to another.
"""

import base64
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.schemas.errors import InvalidRequest

MOST = 1000
"""Entries of a page."""

Place = TypeVar("Place", bound=tuple[object, ...])

GivenCursor = Annotated[
    str | None,
    Field(
        max_length=4_000,
        description="`next_cursor` of the page before; the first page has none",
    ),
]
NextCursor = Annotated[
    str | None,
    Field(description="Send it as `cursor` for what follows; null: this is all"),
]


class _Cursor(BaseModel):
    """What a cursor says."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    of: str
    """The listing."""
    at: list[str | int | float]


def cursor_of(listing: str, *at: str | float) -> str:
    """The cursor behind an entry."""
    text = _Cursor(of=listing, at=[*at]).model_dump_json()
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(listing: str, cursor: str | None, kind: type[Place]) -> Place | None:
    """What `cursor_of` was given; None without a cursor, InvalidRequest for one of nothing here."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = _Cursor.model_validate_json(text)
        if found.of == listing:
            return TypeAdapter(kind).validate_python(tuple(found.at))
    except (ValueError, ValidationError):  # no base64, or no cursor
        pass
    raise InvalidRequest.of("cursor", "expected the `next_cursor` of an answer to the same call")
