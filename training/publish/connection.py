"""A connection to the server that models are published to, and its address without secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from training.publish.errors import PublishError, explaining

CONNECT_TIMEOUT_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = 10.0
"""Well above one batch of chunks on a slow network, well below the life of the lock."""


def address_of(redis_url: str) -> str:
    """`host:port` (or the socket's path) of a URL; never its user or password."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def text(value: bytes | str) -> str:
    """A reply as text; our clients never decode, but redis-py's types cannot know that."""
    return value if isinstance(value, str) else value.decode()


@contextmanager
def connected(redis_url: str) -> Iterator[redis.Redis]:
    """A client with explicit timeouts and two quick retries, closed at the end.

    Raises:
        PublishError: whatever redis-py raises inside, in words that name the server.
    """
    try:
        address = address_of(redis_url)
        client = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        )
    except ValueError as error:
        raise PublishError(
            "the Redis URL is not usable; "
            "expected redis://[user:password@]host:port[/db], rediss://... or unix:///path"
        ) from error
    with client, explaining(address):
        yield client
