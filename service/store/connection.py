"""Clients of one Redis server, of one that Sentinel names, or of a cluster, also with TLS."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.registry.address import RedisAddress
from model.tracing.spans import part
from service.ops.attempt import Attempt, current_attempt
from service.schemas.errors import SourceUnavailable
from service.store.foreign import REMEDY, is_wrong_type


class _Importing:
    """A node to which a slot is still moving.

    ASKING and the command that it allows must go through one connection. redis-py 8 takes any free
    one for each; then the nodes refer the command to each other until redis-py gives up.
    """

    def __init__(self, node: ClusterNode, *, passing: bool) -> None:
        self._node = node
        self._passing = passing
        """Whether redis-py does not keep the node, so that we must close its connections."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        if command == ("ASKING",):
            return None
        connection = self._node.acquire_connection()
        try:
            await connection.send_command("ASKING")
            await connection.read_response()
            await connection.send_command(*command)
            return await self._node.parse_response(connection, command[0], **options)
        finally:
            self._node.release(connection)
            if self._passing:
                await self._node.disconnect()


class _Noting(AbstractConnection):
    """Notes what the request that uses it has sent: what was not sent was not done."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        attempt = current_attempt.get()
        if attempt is not None and attempt.is_writing:
            if await self.can_read():  # also if the server has closed it, which nobody noticed yet
                await self.disconnect(nowait=True)
                raise RedisConnectionError(_LEFT)
            attempt.sent += 1
        await super().send_packed_command(command, check_health)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server, which changes nothing."""
        attempt = current_attempt.get() or Attempt()
        was_writing, attempt.is_writing = attempt.is_writing, False
        try:
            await super().on_connect_check_health(check_health)
        finally:
            attempt.is_writing = was_writing


def _noting(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(kind.__name__, (_Noting, kind), {})


class ClusterClient(RedisCluster):
    """A client that finds keys while slots move, also to a node that had none before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        kwargs = self.nodes_manager.connection_kwargs  # of the nodes that it finds
        kwargs["connection_class"] = _noting(kwargs["connection_class"])
        for node in self.startup_nodes:
            node.connection_class = kwargs["connection_class"]

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> Any:
        """The node of an address. redis-py asks by name for a slot that is moving."""
        node = super().get_node(host, port, node_name)
        if node_name is None:
            return node
        if node is not None:
            return _Importing(node, passing=False)
        host, _, service = node_name.rpartition(":")
        stranger = ClusterNode(host, service, **self.nodes_manager.connection_kwargs)
        return _Importing(stranger, passing=True)


Client = Redis | RedisCluster
FAULTS = (RedisError, RedisClusterException, OSError)
"""Whatever redis-py raises; not all of it is a RedisError."""

_LOST = (RedisConnectionError, RedisClusterException, ClusterDownError, OSError)
_LEFT = "it sent more than was asked for, or closed the connection"
_MAX_CONNECTIONS = 1000
"""Far above what callers need at once: at the limit redis-py refuses instead of waiting."""
_CLUSTER_TRIES = 3
"""An answer of a cluster may take three waits: for a node that is gone, for another that says which
node took over, and for that node."""
_GOODBYE_SECONDS = 0.1


def connect(
    address: RedisAddress, *, timeout_seconds: float, connect_timeout_seconds: float
) -> Client:
    """A client that opens its connections when it is first used.

    It retries once, without a pause: the server may have closed a pooled connection, and a master
    or a slot may have moved.
    """
    if address.kind == "cluster":
        timeout_seconds /= _CLUSTER_TRIES
    common: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": min(connect_timeout_seconds, timeout_seconds),
        "retry": Retry(NoBackoff(), 1),
        "max_connections": _MAX_CONNECTIONS,
        "client_name": "magnet-service",
        "protocol": 3,
    }
    server = {**common, **address.keywords}
    match address.kind:
        case "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            return ClusterClient(startup_nodes=nodes, **server)
        case "sentinel":
            sentinels = Sentinel(  # type: ignore[no-untyped-call]  # untyped in redis-py
                address.hosts, sentinel_kwargs={**common, **address.sentinel_keywords}
            )
            client: Redis = sentinels.master_for(address.master, **server)
        case "server" | "socket":
            # A master that has become a replica keeps its connections: a new one leads to where the
            # name leads now. Sentinels and clusters are asked anyway.
            client = Redis(**server, retry_on_error=[ReadOnlyError])
    pool: Any = client.connection_pool
    pool.connection_class = _noting(pool.connection_class)
    return client


async def transact(client: Client, change: Callable[[Any], Awaitable[None]], *watched: str) -> None:
    """Run `change` on a pipeline that watches some keys; run it again whenever they change."""
    if isinstance(client, RedisCluster):
        # Otherwise redis-py looks the slots up in a thread with another event loop.
        await client.initialize()
    transaction: Any = client.transaction
    await transaction(change, *watched)


class Exchange:
    """Sends commands together and returns their replies in order; one exchange at a time.

    A single server gets its own connection: redis-py's pool and pipeline take ten times as long as
    the server. The caller sets the timeout; there is one retry, as in `connect`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connection: Any = None
        if isinstance(client, Redis):
            pool: Any = client.connection_pool
            self._connection = pool.make_connection()
            self._connection.socket_timeout = None

    async def __call__(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """One reply per command, the error if its key is of the wrong type.

        Raises what redis-py raises otherwise, also the first ResponseError of another kind.
        """
        if self._connection is None:
            pipe: Any = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return usable(await pipe.execute(raise_on_error=False))
        # hiredis's stub knows commands of one word alone.
        packed = b"".join([pack_command(each) for each in commands])  # type: ignore[arg-type]
        once = partial(self._once, packed, len(commands))
        retry: Retry = self._connection.retry
        return await retry.call_with_retry(once, self._disconnect)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.disconnect()

    async def _once(self, packed: bytes, count: int) -> list[Any]:
        # Sending does not ask the sentinels for the master; this does.
        if not self._connection.is_connected:
            await self._connection.connect()
        await self._check_nothing_is_left()
        await self._connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in range(count):  # all of them: the next exchange must not read one of these
            try:
                replies.append(await self._connection.read_response())
            except ResponseError as error:
                replies.append(error)
        await self._check_nothing_is_left()
        return usable(replies)

    async def _check_nothing_is_left(self) -> None:
        """Unread bytes answer another question; then the replies before them may do so too."""
        if await self._connection.can_read():
            await self._connection.disconnect(nowait=True)
            raise RedisConnectionError(_LEFT)

    async def _disconnect(self, _error: Exception) -> None:
        await self._connection.disconnect(nowait=True)


def usable(replies: list[Any]) -> list[Any]:
    """The replies of a pipeline; raises the first error but those of keys of the wrong type."""
    for reply in replies:
        if isinstance(reply, ResponseError) and not is_wrong_type(reply):
            raise reply
    return replies


async def close(client: Client) -> None:
    """Close every connection, those to sentinels included."""
    await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()
    # redis-py does not wait for the connections that it drops; TLS has a closing handshake.
    await asyncio.sleep(_GOODBYE_SECONDS)


@contextmanager
def answering(address: RedisAddress, key: str | None = None) -> Iterator[None]:
    """Turn whatever a client raises into SourceUnavailable, which names the server.

    And the key, if it is given and holds something else than what is asked for.
    """
    try:
        with part("redis", "client", **{"db.system.name": "redis"}):
            yield
    except (TimeoutError, RedisTimeoutError) as error:
        raise SourceUnavailable(
            f"Redis at {address} is not reachable: no answer in time"
        ) from error
    except FAULTS as error:
        lost = isinstance(error, _LOST) and not isinstance(error, AuthenticationError)
        state = "is not reachable" if lost else "refuses to answer"
        why = str(error).rstrip(".")
        if key is not None and is_wrong_type(error):
            why = f"{key} is of the wrong type; {REMEDY}"
        raise SourceUnavailable(f"Redis at {address} {state}: {why}") from error
    except (ValueError, TypeError, AttributeError) as error:
        # Raised by redis-py's parser, or by a caller, for bytes that do not answer the question.
        # They may be of another answer, and are not repeated.
        kind = type(error).__name__
        raise SourceUnavailable(f"Redis at {address} answers nonsense ({kind})") from None


@contextmanager
def writing(address: RedisAddress, *, as_one: bool = True) -> Iterator[Attempt]:
    """As `answering`, around what changes something: the request's `Attempt` counts what is sent.

    Args:
        address: names the server.
        as_one: whether all is done or nothing, so that nothing is when the server refuses.
    """
    attempt = current_attempt.get() or Attempt()
    before, attempt.is_writing = attempt.sent, True
    try:
        with answering(address):
            yield attempt
    except SourceUnavailable as error:
        # A refusal answers what was sent last; what was sent before it may have been done.
        if as_one and isinstance(error.__cause__, ResponseError) and attempt.sent == before + 1:
            attempt.sent = before
        raise
    finally:
        attempt.is_writing = False
