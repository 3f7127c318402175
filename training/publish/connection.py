"""Connections to the Redis that models are published to, and its errors in plain words."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from model.registry.address import RedisAddress
from model.registry.eviction import eviction_warning
from training.errors import ExplainedError

Client = redis.Redis | RedisCluster
Transaction = Pipeline | ClusterPipeline
FAULTS = (redis.RedisError, RedisClusterException)
"""Whatever redis-py raises; not all of it is a RedisError."""


class PublishError(ExplainedError):
    """Publishing failed; the live version is what it was unless the message says otherwise."""


class LockHeldError(PublishError):
    """Somebody else is publishing to this namespace, or retraining for it."""


class LockLostError(PublishError):
    """The lock ran out or was taken over; this publisher may change nothing any more."""


class UnknownVersionError(PublishError):
    """There is no such version, or it is not whole."""


class DamagedCopyError(PublishError):
    """The stored copy of a version is incomplete or differs from its manifest."""


_IN_WORDS: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
    (
        redis.AuthenticationError,
        "refuses the user or password; put the right ones into the URL: "
        "redis://user:password@host:port",
    ),
    (
        redis.exceptions.NoPermissionError,
        "does not give this user a right that publishing needs: {reason}",
    ),
    (
        redis.exceptions.ReadOnlyError,
        "is a read-only replica; publish to its primary",
    ),
    (
        redis.exceptions.OutOfMemoryError,
        "is out of memory, nothing was changed; raise its maxmemory, or keep fewer versions",
    ),
    (
        (redis.ConnectionError, redis.TimeoutError, RedisClusterException),
        "does not answer ({reason}); check that it runs and can be reached, then try again: "
        "repeating is safe",
    ),
    (
        redis.exceptions.InvalidResponse,
        "is another program ({reason}); correct the URL: redis://user:password@host:port",
    ),
    (redis.RedisError, "refused: {reason}"),
]
"""The first that fits counts."""


@contextmanager
def explaining(address: str) -> Iterator[None]:
    """Turn redis-py's errors into PublishErrors that name the server at `address`."""
    try:
        yield
    except FAULTS as error:
        words = next(words for faults, words in _IN_WORDS if isinstance(error, faults))
        # The server's own words: redis-py puts the command, with its binary data, before them.
        reason = str(error).rpartition(" caused error: ")[2].rstrip(".") or type(error).__name__
        raise PublishError(f"Redis at {address} {words.format(reason=reason)}") from error


CONNECT_TIMEOUT_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = 10.0
"""Well above one batch of chunks on a slow network, well below the life of the lock."""


def address_of(redis_url: str) -> RedisAddress:
    """A parsed URL, whose text has no password; PublishError if it is not usable."""
    try:
        return RedisAddress.of(redis_url)
    except ValueError as error:
        raise PublishError(f"the Redis URL is not usable: {error}") from error


def text(value: bytes | str) -> str:
    """A reply as text; our clients never decode, but redis-py's types cannot know that."""
    return value if isinstance(value, str) else value.decode()


def policy_warning(client: Client) -> str | None:
    """What is wrong with how the server throws data away; None if nothing is, or it may not say."""
    command: Any = client.execute_command
    primaries = {"target_nodes": "primaries"} if isinstance(client, RedisCluster) else {}
    with suppress(NoPermissionError):
        return eviction_warning(command("INFO", "memory", **primaries))
    return None


@contextmanager
def connected(redis_url: str) -> Iterator[Client]:
    """A client with explicit timeouts and two quick retries, closed at the end.

    Raises:
        PublishError: whatever redis-py raises inside, in words that name the server.
    """
    address = address_of(redis_url)
    with explaining(str(address)), _client(address) as client:
        yield client


def _client(address: RedisAddress) -> Client:
    # redis-py leaves some of these constructors untyped, hence the ignores.
    common: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
    }
    server = {**common, **address.keywords}
    match address.kind:
        case "cluster":
            nodes = [ClusterNode(*host) for host in address.hosts]  # type: ignore[no-untyped-call]
            return RedisCluster(startup_nodes=nodes, **server)
        case "sentinel":
            sentinels = Sentinel(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs={**common, **address.sentinel_keywords}
            )
            master: redis.Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
                address.master, **server
            )
            return master
        case "server" | "socket":
            return redis.Redis(**server)
