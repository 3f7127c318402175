"""Hidden items are followed change by change, and kept on this machine."""

import asyncio
import sqlite3

import numpy as np
import pytest
import redis

from model.artifact.tables import IdTable
from model.registry.keys import KeySpace
from service.ops.settings import Settings
from service.schemas.errors import SourceUnavailable
from service.serving.catalogue import ItemIds
from service.serving.overlay import Overlay
from service.store import hidden as module
from service.store.hidden import HiddenItems, hashes_of, with_and_without
from service.store.local_state import LocalState
from service.store.shared_state import Availability
from service.store.store import RedisStore

KEYS = KeySpace()
IDS = [f"i{number:02d}" for number in range(40)]
ADDED = [f"new{number}" for number in range(10)]


def catalogue() -> ItemIds:
    """40 items of an artifact and ten that have been added; the third of them is gone."""
    rows: dict[str, int | None] = {x: 40 + place for place, x in enumerate(ADDED) if place != 2}
    return ItemIds(
        IdTable.of(IDS),
        ADDED,
        Overlay[str, int]().with_changes(rows),
        np.array([42]),
        hashes_of((x.encode() for x in ADDED), len(ADDED)),
    )


class Watched:
    """Follows, and counts how often all of them were read."""

    def __init__(self, url: str, local: LocalState | None = None) -> None:
        self.store = RedisStore(Settings(redis_url=url))
        self.hidden = HiddenItems(self.store, local)
        self.pages = 0
        read = self.store.hidden_page

        async def counted(cursor: int, count: int):
            self.pages += 1
            return await read(cursor, count)

        self.store.hidden_page = counted  # type: ignore[method-assign]

    async def shown(self, items: ItemIds) -> set[str]:
        latest = (await self.store.revisions()).availability
        await self.hidden.follow(latest, patient=True)
        rows = self.hidden.rows(items)
        assert rows.tolist() == sorted(set(rows.tolist()))
        return {items[row] for row in set(range(len(items))) - set(rows.tolist())}


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def at_random(url: str, server: redis.Redis, seed: int) -> None:
    rng = np.random.default_rng(seed)
    watched, items = Watched(url), catalogue()
    availability = Availability(watched.store)
    may_be_shown = {*IDS, *ADDED} - {"new2"}
    hidden: set[str] = set()
    for _ in range(30):
        chosen = rng.choice([*IDS, *ADDED, "unknown"], rng.integers(1, 8)).tolist()
        how = rng.choice(["call", "by hand", "lost log"], p=[0.8, 0.1, 0.1])
        available = bool(rng.integers(2))
        if how == "call":
            await availability.put(chosen, available=available)
        else:
            (server.srem if available else server.sadd)(KEYS.unavailable, *chosen)
            server.incrby(KEYS.availability_revision, len(chosen))
        if how == "lost log":
            server.delete(KEYS.availability_log)
        hidden = hidden - {*chosen} if available else hidden | {*chosen}
        assert {each.decode() for each in server.smembers(KEYS.unavailable)} == hidden
        assert await watched.shown(items) == may_be_shown - hidden
    await watched.store.close()


@pytest.mark.parametrize("seed", [0, 1])
def test_it_follows_whatever_happens(redis_url, server, seed) -> None:
    asyncio.run(at_random(redis_url, server, seed))


def test_a_change_costs_what_changed(redis_url, server) -> None:
    server.sadd(KEYS.unavailable, *(f"gone{number}" for number in range(30_000)))

    async def go() -> None:
        watched, items = Watched(redis_url), catalogue()
        availability = Availability(watched.store)
        await availability.put(["i07"], available=False)
        assert "i05" in await watched.shown(items)
        pages = watched.pages
        assert pages >= 15
        assert await availability.put(["i05", "i06"], available=False) == 2
        assert await availability.put(["i05", "i06"], available=False) == 0, "nothing changed"
        assert not {"i05", "i06"} & await watched.shown(items)
        assert server.xlen(KEYS.availability_log) == 3
        await availability.put(["i05"], available=True)
        assert {"i05", "i06"} & await watched.shown(items) == {"i05"}
        assert watched.pages == pages, "the whole set was read again"
        await watched.store.close()

    asyncio.run(go())


def test_requests_are_answered_while_all_are_read(redis_url, server, monkeypatch) -> None:
    """As last known, and the reading goes on when nobody waits any longer."""
    server.sadd(KEYS.unavailable, "i05")
    server.incr(KEYS.availability_revision)

    async def go() -> None:
        watched, items = Watched(redis_url), catalogue()
        assert "i05" not in await watched.shown(items)
        server.sadd(KEYS.unavailable, "i06")  # by hand, without the log
        server.incr(KEYS.availability_revision)
        page, slow = watched.store.hidden_page, asyncio.Event()

        async def slowly(cursor: int, count: int):
            await slow.wait()
            return await page(cursor, count)

        watched.store.hidden_page = slowly  # type: ignore[method-assign]
        with monkeypatch.context() as patch:
            patch.setattr("service.store.logs.READ_SECONDS", 0.05)
            with pytest.raises(SourceUnavailable, match="being read"):
                await watched.hidden.follow(2)
        assert watched.hidden.trouble == HiddenItems.behind
        assert 5 in watched.hidden.rows(items), "what was known"
        slow.set()
        assert "i06" not in await watched.shown(items)
        assert watched.hidden.trouble is None
        await watched.store.close()

    asyncio.run(go())


def test_what_changes_while_a_catalogue_is_prepared_counts(redis_url, monkeypatch) -> None:
    async def go() -> None:
        watched, before, items = Watched(redis_url), catalogue(), catalogue()
        availability = Availability(watched.store)
        await availability.put(["i01"], available=False)
        assert "i01" not in await watched.shown(before)
        on = asyncio.Event()

        async def late(work):
            found = work()
            await on.wait()
            return found

        monkeypatch.setattr(module, "in_background", late)
        preparing = asyncio.create_task(watched.hidden.prepare(items))
        await asyncio.sleep(0.01)
        await availability.put(["i02", "new1"], available=False)
        await watched.shown(before)
        on.set()
        await preparing
        assert watched.hidden.rows(items).tolist() == [1, 2, 41, 42]
        await watched.store.close()

    asyncio.run(go())


def test_a_server_that_was_emptied_hides_what_was_hidden(redis_url, server) -> None:
    async def go() -> None:
        watched, items = Watched(redis_url), catalogue()
        availability = Availability(watched.store)
        await availability.put(["i01"], available=False)
        assert "i01" not in await watched.shown(items)
        server.flushall()
        assert "i01" not in await watched.shown(items)
        assert watched.hidden.trouble == module.LOST
        await availability.put(["i02"], available=False)  # it has a record again
        assert {"i01", "i02"} & await watched.shown(items) == {"i01"}
        assert watched.hidden.trouble is None
        await watched.store.close()

    asyncio.run(go())


def test_this_machine_keeps_them(redis_url, server, tmp_path) -> None:
    async def go() -> None:
        items, local = catalogue(), LocalState(tmp_path / "state")
        assert local.hidden() is None
        watched = Watched(redis_url, local)
        await watched.shown(items)
        assert local.hidden().tolist() == [], "known to be none"
        availability = Availability(watched.store)
        await availability.put(["i01", "i02", "new4"], available=False)
        await availability.put(["i02"], available=True)
        await watched.shown(items)

        elsewhere = Watched("redis://127.0.0.1:1/0", local)
        await elsewhere.hidden.look_back()
        assert elsewhere.hidden.known
        assert elsewhere.hidden.rows(items).tolist() == [1, 42, 44]
        await watched.store.close()
        await elsewhere.store.close()

    asyncio.run(go())


def test_all_processes_of_a_machine_share_what_is_kept(redis_url, tmp_path) -> None:
    async def go() -> None:
        items = catalogue()
        one, other = (Watched(redis_url, LocalState(tmp_path)) for _ in range(2))
        availability = Availability(one.store)
        for number, watched in enumerate([one, other, other, one, one, other]):
            await availability.put([IDS[number], IDS[number + 1]], available=bool(number % 2))
            await watched.shown(items)
        assert await one.shown(items) == await other.shown(items)
        assert one.hidden.rows(items).tolist() == [0, 2, 4, 42]
        kept = LocalState(tmp_path).hidden()
        assert set(kept.tolist()) == set(hashes_of((b"i00", b"i02", b"i04"), 3).tolist())
        await one.store.close()
        await other.store.close()

    asyncio.run(go())


def test_many_changes_are_merged(redis_url, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("service.store.logs._CHANGES_AT_ONCE", 10)
    monkeypatch.setattr(module, "MERGED_FROM", 15)
    monkeypatch.setattr("service.store.local_state.MERGED_FROM", 20)

    async def go() -> None:
        items, local = catalogue(), LocalState(tmp_path)
        watched = Watched(redis_url, local)
        await watched.shown(items)
        await Availability(watched.store).put([*IDS, "other"], available=False)
        assert await watched.shown(items) == {*ADDED} - {"new2"}
        await Availability(watched.store).put(IDS[:5], available=True)
        assert await watched.shown(items) == {*ADDED, *IDS[:5]} - {"new2"}
        await watched.hidden.tidy()
        assert len(local.hidden()) == 36
        await watched.store.close()

    asyncio.run(go())


def test_what_cannot_be_kept_is_not_believed(tmp_path, caplog) -> None:
    local = LocalState(tmp_path)
    local.replace_hidden(5, np.array([1, 2], dtype=np.uint64))
    assert not local.log_hidden([(8, 5, 3, True), (9, 8, 1, False)])
    assert local.hidden().tolist() == [2, 3]
    assert not local.log_hidden([(19, 12, 4, True)])
    assert local.hidden() is None, "there was a change that nobody has told"
    local.replace_hidden(19, np.array([4], dtype=np.uint64))
    assert local.hidden().tolist() == [4]

    with sqlite3.connect(tmp_path / "state.sqlite") as other:
        other.execute("DROP TABLE hidden_moves")
        other.execute("CREATE TABLE hidden_moves (strange)")
    other.close()
    assert local.log_hidden([(20, 19, 5, True)]), "all of them are to be written"
    assert "will not be ready" in caplog.text
    assert local.hidden() is None
    local.replace_hidden(20, np.array([4, 5], dtype=np.uint64))
    assert local.hidden().tolist() == [4, 5]

    local.close()
    for path in tmp_path.glob("state.sqlite*"):
        path.write_bytes(b"no database" * 1000)
    assert local.hidden() is None
    assert local.get("rules") is None


def test_sorted_sets_are_changed_as_sets_are() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        before, more, less = (set(rng.integers(0, 20, rng.integers(8)).tolist()) for _ in range(3))
        now = with_and_without(
            np.array(sorted(before), dtype=np.uint64),
            np.array([*(more - less)], dtype=np.uint64),
            np.array([*less], dtype=np.uint64),
        )
        assert now.tolist() == sorted((before - less) | (more - less))
