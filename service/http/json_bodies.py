"""Bodies of JSON: an object that has one name twice is refused, for nobody knows which counts.

RFC 8259, section 4.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.schemas.errors import InvalidRequest

_NAME = re.compile(rb'"\s*:')
"""The end of a name; in a text it may be something else."""


def read(text: bytes | str) -> Any:
    """The value of a body.

    Raises:
        InvalidRequest: an object in it has a name twice.
        ValueError: it is no JSON (JSONDecodeError), no UTF-8, or a number in it is too long.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once)


def repeated_name(text: bytes, names: int) -> str | None:
    """What is wrong with JSON in which one object has a name twice; None if none has.

    Args:
        text: valid JSON.
        names: how many a reader that passes over repeated ones has found: all of them, or more.
            Then only what may hold another one is read again.
    """
    if len(_NAME.findall(text)) > names:
        try:
            read(text)
        except InvalidRequest as error:
            return error.errors[0].message
    return None


class JsonRoute(APIRoute):
    """A route whose body is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework's, for another kind of request."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    async def json(self) -> Any:
        return read(await self.body())


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, times = Counter(name for name, _ in pairs).most_common(1)[0]
        message = f"{name!r:.80} is there {times} times in one object; give it once"
        raise InvalidRequest.of("body", message)
    return found
