"""What somebody else has written into our keys: it is read as far as it goes, and told once."""

import logging
from collections.abc import Awaitable
from functools import lru_cache
from typing import TypeVar

from redis.exceptions import ResponseError

Reply = TypeVar("Reply")

LAST_MS = 253_402_300_799_000
"""The last moment that a calendar has, in Unix milliseconds."""
LAST_REVISION = 2**53
"""The largest whole number that scores and Lua keep exactly."""

WRONG_TYPE = "WRONGTYPE"
"""How Redis begins to refuse a command for a key that holds something else."""
REMEDY = "rename it or remove it"

_CHECK = f"""
local function foreign(kinds)
  for place, kind in ipairs(kinds) do
    local key, wanted = KEYS[place], kind == 'counter' and 'string' or kind
    local found = redis.call('TYPE', key)['ok']
    local odd = found ~= wanted and 'is a ' .. found .. ', not a ' .. kind
    if kind == 'counter' and found == wanted then
      local number = redis.call('GET', key)
      odd = not string.match(number, '^%d+$') or tonumber(number) > {LAST_REVISION}
      odd = odd and 'is no whole number'
    end
    if found ~= 'none' and odd then
      return redis.error_reply('{WRONG_TYPE} ' .. key .. ' ' .. odd .. '; {REMEDY}')
    end
  end
end
"""

_logger = logging.getLogger(__name__)


def checked(*kinds: str) -> str:
    """The beginning of a script: it is refused if one of `KEYS` holds what it should not.

    One that fails half-way has done the first half. `kinds`: as in `KeySpace.types`, of each key.
    """
    names = ", ".join(map(repr, kinds))
    return f"{_CHECK}\nlocal odd = foreign({{{names}}})\nif odd then return odd end\n"


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


def number_of(raw: bytes | None) -> int | None:
    """A counter's value, 0 if there is none; None for what is no whole number."""
    if raw is None:
        return 0
    return int(raw) if raw.isdigit() and len(raw) <= len(str(LAST_REVISION)) else None


def is_wrong_type(error: Exception | None) -> bool:
    """Whether Redis refused a command because the key holds something else."""
    return isinstance(error, ResponseError) and WRONG_TYPE in str(error)


async def or_else(reply: Awaitable[Reply], key: str, default: Reply) -> Reply:
    """A reply; `default`, and that is told, if the key holds something else."""
    try:
        return await reply
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        tell(key)
        return default
