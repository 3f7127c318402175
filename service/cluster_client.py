"""A cluster's client that also finds keys whose slot is just moving.

Knows how redis-py follows a cluster's redirections. Knows no keys.
"""

from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster


class _Importing:
    """A node asked for keys of a slot that it does not have yet, through one connection.

    redis-py 8 sends ASKING and the command that it allows through whichever connections are free:
    with two of them never through the same one, so that two nodes refer the command to each other
    until redis-py gives up.
    """

    def __init__(self, node: ClusterNode, *, passing: bool) -> None:
        self._node = node
        self._passing = passing
        """Whether nobody else keeps the node, and its connections."""

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


class ClusterClient(RedisCluster):
    """redis-py's client, while slots move, also to a node that had none before."""

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> Any:
        """The node of an address; by its name, as redirections ask for it, one to be asked."""
        node = super().get_node(host, port, node_name)
        if node_name is None:
            return node
        if node is not None:
            return _Importing(node, passing=False)
        host, _, service = node_name.rpartition(":")
        stranger = ClusterNode(host, service, **self.nodes_manager.connection_kwargs)
        return _Importing(stranger, passing=True)
