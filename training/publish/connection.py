"""A connection to whatever Redis models are published to: one server, Sentinel's, or a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from model.contract.redis_address import RedisAddress
from training.publish.errors import PublishError, explaining

# redis-py leaves some of these constructors untyped, hence the ignores below.
Client = redis.Redis | RedisCluster
Transaction = Pipeline | ClusterPipeline

CONNECT_TIMEOUT_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = 10.0
"""Well above one batch of chunks on a slow network, well below the life of the lock."""


def address_of(redis_url: str) -> RedisAddress:
    """Where a URL leads to; its text has no user and no password.

    Raises:
        PublishError: the URL is not usable.
    """
    try:
        return RedisAddress.of(redis_url)
    except ValueError as error:
        raise PublishError(f"the Redis URL is not usable: {error}") from error


def text(value: bytes | str) -> str:
    """A reply as text; our clients never decode, but redis-py's types cannot know that."""
    return value if isinstance(value, str) else value.decode()


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
    common: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        **address.encryption,
    }
    server = {**common, **address.login}
    match address.kind:
        case "cluster":
            nodes = [ClusterNode(*host) for host in address.hosts]  # type: ignore[no-untyped-call]
            return RedisCluster(startup_nodes=nodes, **server)
        case "sentinel":
            sentinels = Sentinel(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs={**common, **address.sentinel_login}
            )
            master: redis.Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
                address.master, db=address.database, **server
            )
            return master
        case "socket":
            return redis.Redis(unix_socket_path=address.path, db=address.database, **server)
        case "server":
            ((host, port),) = address.hosts
            return redis.Redis(host=host, port=port, db=address.database, **server)
