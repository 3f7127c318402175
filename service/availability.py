"""Which items may be shown: one item asked for, shown or hidden, for every replica at once.

Knows keys and scripts; knows nothing about catalogues or HTTP. How replicas learn of a change
is in `hidden`.
"""

from service.store import RedisStore

_HIDE, _SHOW = (
    f"redis.call('{command}', KEYS[1], ARGV[1]); return redis.call('INCR', KEYS[2])"
    for command in ("SADD", "SREM")
)
"""Scripts rather than transactions: see `store`."""


class Availability:
    """The set of hidden items of one namespace. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def get(self, item_id: str) -> bool:
        """Whether an item may be shown."""
        with self._store.answering():
            hidden = await self._store.client.sismember(self._store.keys.unavailable, item_id)
        return not hidden

    async def put(self, item_id: str, *, available: bool) -> None:
        """Show or hide an item, from the next request on."""
        keys = self._store.keys
        change = _SHOW if available else _HIDE
        with self._store.answering():
            await self._store.client.eval(
                change, 2, keys.unavailable, keys.availability_revision, item_id
            )
