"""What somebody else has written into our keys: it is read as far as it goes, and told once."""

import logging
from functools import lru_cache

LAST_MS = 253_402_300_799_000
"""The last moment that a calendar has, in Unix milliseconds."""
LAST_REVISION = 2**53
"""The largest whole number that scores and Lua keep exactly."""

_logger = logging.getLogger(__name__)


def text_of(raw: bytes, where: str) -> str:
    """A text; bytes that are not UTF-8 become U+FFFD, which is nobody's id.

    `where` names the key in the log, without an id of a user.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        tell(where)
        return raw.decode(errors="replace")


@lru_cache(256)
def tell(where: str) -> None:
    """Log once that a key holds what is none of ours."""
    _logger.warning("%s holds what no MAGNET has written; it is left out, remove it", where)
