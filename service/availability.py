"""Which items may be shown: one item asked for, shown or hidden, for every replica at once.

Knows keys and transactions; knows nothing about catalogues or HTTP. How replicas learn of a change
is in `hidden`.
"""

from service.store import RedisStore


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
        pipe = self._store.client.pipeline(transaction=True)
        change = pipe.srem if available else pipe.sadd
        change(keys.unavailable, item_id)
        pipe.incr(keys.availability_revision)
        with self._store.answering():
            await pipe.execute()
