"""How users and lists are counted in one experiment."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from model.registry.canary import Canary
from model.registry.keys import KeySpace
from service.ops.settings import Settings
from service.store.experiments import AT_ONCE, Experiments, Response
from service.store.store import RedisStore

CANARY = Canary(version="v2", share=0.5, started_at=datetime(2026, 1, 1, tzinfo=UTC))
USERS = [f"somebody {number}" for number in range(AT_ONCE + 100)]


@pytest.fixture
def run(redis_url, valkey_server):
    """Runs something with the experiments of a server whose canary is running."""
    with valkey_server.client() as redis:
        redis.set(KeySpace().canary, CANARY.model_dump_json())

    def run(
        work: Callable[[Experiments], Coroutine[Any, Any, Any]], most_users: int = 10_000
    ) -> Any:
        async def connected() -> Any:
            store = RedisStore(Settings(redis_url=redis_url))
            try:
                return await work(Experiments(store, most_users))
            finally:
                await store.close()

        return asyncio.run(connected())

    return run


def test_many_are_counted_in_pieces(run) -> None:
    async def work(experiments: Experiments) -> None:
        lists = dict.fromkeys(USERS, 3)
        done = [Response(user_id=user, list_id=b"12345678", kind="clicked") for user in USERS]
        await experiments.count(CANARY, "v1", lists, done)
        found = (await experiments.read(CANARY)).variants
        assert sum(each.users for each in found.values()) == len(USERS)
        assert found["challenger"].users == sum(map(CANARY.takes, USERS))
        assert sum(each.lists for each in found.values()) == 3 * len(USERS)
        assert sum(each.users_clicked for each in found.values()) == len(USERS)
        assert sum(each.lists_clicked for each in found.values()) == 1, "all name one list"

    run(work)


def test_there_are_at_most_so_many_users(run) -> None:
    async def work(experiments: Experiments) -> None:
        await experiments.count(CANARY, "v1", dict.fromkeys(USERS[:3], 1))
        assert not (await experiments.read(CANARY)).full
        late = Response(user_id=USERS[3], list_id=b"12345678", kind="clicked")
        told = await experiments.count(CANARY, "v1", dict.fromkeys(USERS[2:5], 1), [late])
        found = await experiments.read(CANARY)
        assert (found.full, told) == (True, [])
        assert sum(each.users for each in found.variants.values()) == 3
        assert sum(each.lists for each in found.variants.values()) == 4, "of a known user still"

    run(work, most_users=3)


def test_another_canary_or_share_than_the_running_one_is_not_counted(run) -> None:
    others = [
        CANARY.model_copy(update=changes)
        for changes in (
            {"share": 0.2},
            {"version": "v3"},
            {"started_at": datetime(2026, 1, 2, tzinfo=UTC)},
        )
    ]

    async def work(experiments: Experiments) -> None:
        for other in others:
            await experiments.count(other, "v1", {"u": 1})
        for canary in (CANARY, *others):
            assert (await experiments.read(canary)).counted_since is None

    run(work)
