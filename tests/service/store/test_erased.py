"""Who was erased is followed erasure by erasure, and kept on this machine."""

import asyncio
import time
from collections.abc import Callable

import pytest
import redis

from model.registry.keys import KeySpace
from service.ops.settings import Settings
from service.schemas.errors import SourceUnavailable
from service.store.erasures import Erased, Erasures
from service.store.local_state import LocalState
from service.store.store import RedisStore

KEYS = KeySpace()
MANY = """
for number = 1, ARGV[1] do
  local hash = string.format('%016x', number)
  redis.call('HSET', KEYS[1], hash, cjson.encode({
    erasure_id = hash, number = string.format('%d', number), user_hash = hash,
    requested_at = '2026-01-01T00:00:00Z'}))
end
"""


class Watched:
    """Follows, and counts how many pages of records were read."""

    def __init__(self, redis_url: str, local: LocalState | None = None) -> None:
        self.store = RedisStore(Settings(redis_url=redis_url, redis_timeout_seconds=20))
        self.erased = Erased(self.store, local)
        self.pages = 0
        page = self.store.erasures_page

        async def counted(cursor: int, count: int) -> tuple[int | None, list[bytes]]:
            self.pages += 1
            return await page(cursor, count)

        self.store.erasures_page = counted  # type: ignore[method-assign]

    async def follow(self) -> None:
        await self.erased.follow((await self.store.revisions()).erasures, patient=True)

    async def erase(self, user_id: str) -> int:
        return (await Erasures(self.store).erase(user_id)).number

    async def knows(self, user_id: str) -> bool:
        await self.follow()
        return self.erased.since(user_id, 0)


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_one_more_of_many_costs_what_it_is(redis_url, server, tmp_path) -> None:
    """Of the records, the log and the file on this machine only what is new is touched."""
    server.eval(MANY, 1, KEYS.erasures, 100_000)

    async def go() -> None:
        watched = Watched(redis_url, LocalState(tmp_path))
        began = time.process_time()
        await watched.erase("first")
        await watched.follow()
        assert watched.pages > 50
        kept = LocalState(tmp_path).erased()
        assert kept[1][f"{99_999:016x}"] == 99_999
        first = time.process_time() - began
        watched.pages = 0
        forgotten: list[int] = []

        async def forget(is_erased: Callable[[str], bool]) -> None:
            forgotten.extend(each for each in range(20) if is_erased(f"u{each}"))

        watched.erased.forget = forget
        sent = server.info("stats")["total_net_output_bytes"]
        began = time.process_time()
        for number in range(20):
            await watched.erase(f"u{number}")
            assert await watched.knows(f"u{number}")
        assert (time.process_time() - began) / 20 < first / 5
        assert server.info("stats")["total_net_output_bytes"] - sent < 200_000
        assert (watched.pages, forgotten) == (0, list(range(20)))
        assert not await watched.knows("u20")
        _, numbers = LocalState(tmp_path).erased()
        assert len(numbers) == 100_021
        await watched.store.close()

    asyncio.run(go())


def test_who_comes_back_and_is_erased_again(redis_url, server) -> None:
    async def go() -> None:
        watched = Watched(redis_url)
        first = await watched.erase("u1")
        await watched.follow()
        assert watched.erased.since("u1", first - 1)
        assert not watched.erased.since("u1", first)
        again = await watched.erase("u1")
        await watched.follow()
        assert watched.erased.since("u1", first)
        assert not watched.erased.since("u1", again)
        assert server.hlen(KEYS.erasures) == 1, "the record that waits is the same"
        await watched.store.close()

    asyncio.run(go())


@pytest.mark.parametrize("fault", ["trimmed", "another primary"])
def test_a_log_that_does_not_lead_on_is_noticed(fault: str, redis_url, server) -> None:
    async def go() -> None:
        watched = Watched(redis_url)
        await watched.erase("u1")
        assert await watched.knows("u1")
        await watched.erase("u2")
        if fault == "another primary":
            server.incrby(KEYS.erasures_revision, 7)
        else:
            server.delete(KEYS.erasures_log)
        before = watched.pages
        assert await watched.knows("u2")
        assert await watched.knows("u1")
        assert watched.pages == before + 1
        assert await watched.knows("u1")
        assert watched.pages == before + 1, "until something changes"
        await watched.store.close()

    asyncio.run(go())


def test_requests_are_answered_while_all_are_read(redis_url, server, monkeypatch) -> None:
    async def go() -> None:
        watched = Watched(redis_url)
        await watched.erase("u1")
        assert await watched.knows("u1")
        server.delete(KEYS.erasures_log)
        await watched.erase("u2")
        slow = asyncio.Event()
        page = watched.store.erasures_page

        async def slowly(cursor: int, count: int) -> tuple[int | None, list[bytes]]:
            await slow.wait()
            return await page(cursor, count)

        watched.store.erasures_page = slowly  # type: ignore[method-assign]
        server.delete(KEYS.erasures_log)
        with monkeypatch.context() as patch:
            patch.setattr("service.store.logs.READ_SECONDS", 0.05)
            with pytest.raises(SourceUnavailable, match="erasures are being read"):
                await watched.erased.follow((await watched.store.revisions()).erasures)
        assert watched.erased.trouble == Erased.behind
        assert watched.erased.since("u1", 0), "what was known"
        slow.set()
        assert await watched.knows("u2")
        assert watched.erased.trouble is None
        await watched.store.close()

    asyncio.run(go())


def test_a_restart_without_redis_knows_them(redis_url, tmp_path) -> None:
    async def go() -> None:
        watched = Watched(redis_url, LocalState(tmp_path))
        await watched.erase("u1")
        await watched.follow()
        await watched.erase("u2")
        await watched.follow()
        later = Erased(watched.store, LocalState(tmp_path))
        await later.look_back()
        assert (later.since("u1", 0), later.since("u2", 0)) == (True, True)
        assert not later.since("u3", 0)
        await later.follow(0)  # a server that has lost everything
        assert later.since("u1", 0)
        await watched.store.close()

    asyncio.run(go())
