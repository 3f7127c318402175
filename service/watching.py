"""Looks again and again for as long as the process lives, and never raises.

Knows pauses; knows nothing about what is looked at.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from service.errors import SourceUnavailable

_logger = logging.getLogger(__name__)


async def watch(look: Callable[[], Awaitable[None]], pause_seconds: float, what: str) -> None:
    """Call `look` until cancelled; `what` names it in the log when it fails.

    Of a source that does not answer, whoever follows the live version says so.
    """
    while True:
        try:
            await look()
        except SourceUnavailable:
            pass
        except Exception:
            _logger.exception("%s could not be looked up", what)
        await asyncio.sleep(pause_seconds)
