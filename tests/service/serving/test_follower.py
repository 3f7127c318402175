"""Each follower alone: what it serves, and what it says, for what is wanted."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from model.registry.canary import Canary
from service.ops.metrics import Metrics
from service.schemas.errors import SourceUnavailable
from service.serving.follower import CanaryFollower, LiveFollower, NotLoaded
from service.store.store import Wanted

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(version: str) -> SimpleNamespace:
    """What a loader returns of a version."""
    snapshot = SimpleNamespace(
        version=version,
        created_at=NOW,
        manifest=SimpleNamespace(experts=[SimpleNamespace(name="one")]),
        chosen=SimpleNamespace(retriever=SimpleNamespace(name="exact"), recall=1.0),
    )
    users = SimpleNamespace(arrays=lambda: {"of": version})
    growing = SimpleNamespace(snapshot=snapshot)
    return SimpleNamespace(
        snapshot=snapshot, growing=growing, opened=version, probe_users=users, seconds=0.1
    )


class Loader:
    """Loads whatever it is not told to fail at; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.failures: dict[str, Exception] = {}

    def is_refused(self, version: str) -> bool:
        return isinstance(self.failures.get(version), NotLoaded) and bool(self.asked)

    async def load(self, version: str, *, beside_requests: bool) -> SimpleNamespace:
        self.asked.append((version, beside_requests))
        if version in self.failures:
            raise self.failures[version]
        return made(version)

    async def load_kept(self, kept: str) -> SimpleNamespace:
        return made(kept)


class Source:
    def __init__(self, kept: str | None = None) -> None:
        self.kept = kept
        self.looks = 0
        self.remembered: list[str] = []

    async def last_good(self) -> str | None:
        self.looks += 1
        return self.kept

    async def remember(self, opened: str, arrays) -> None:
        assert arrays == {"of": opened}
        self.remembered.append(opened)


@pytest.fixture
def loader() -> Loader:
    return Loader()


def live_follower(loader: Loader, source: Source) -> LiveFollower:
    return LiveFollower(source, loader, Metrics(), "shop")


def test_the_live_version_is_loaded_once_and_remembered(loader) -> None:
    source = Source()
    live = live_follower(loader, source)
    asyncio.run(live.follow(None, None))
    assert live.served is None
    assert "no model has been published to namespace shop" in live.trouble
    for version in ("v1", "v1", "v2"):
        asyncio.run(live.follow(version, None))
        assert live.served.snapshot.version == version
        assert live.trouble is None
    assert loader.asked == [("v1", False), ("v2", True)]
    assert source.remembered == ["v1", "v2"]


def test_a_version_that_is_loaded_already_is_not_loaded_again(loader) -> None:
    live = live_follower(loader, Source())
    asyncio.run(live.follow("v1", made("v1")))
    assert (live.served.snapshot.version, loader.asked) == ("v1", [])


def test_the_last_one_is_served_while_the_next_cannot_be(loader) -> None:
    live = live_follower(loader, Source())
    asyncio.run(live.follow("v1", None))
    loader.failures = {"v2": NotLoaded("v2 is damaged"), "v3": SourceUnavailable("away")}
    asyncio.run(live.follow("v2", None))
    assert live.served.snapshot.version == "v1"
    with pytest.raises(SourceUnavailable):
        asyncio.run(live.follow("v3", None))
    assert live.served.snapshot.version == "v1"


def test_what_was_kept_is_served_rather_than_nothing_and_looked_for_once(loader) -> None:
    source = Source(kept="v0")
    live = live_follower(loader, source)
    asyncio.run(live.look_back())
    assert (live.served.snapshot.version, live.origin) == ("v0", "disk")
    asyncio.run(live.follow("v1", None))
    assert (live.served.snapshot.version, live.origin) == ("v1", "store")
    empty = Source()
    live = live_follower(loader, empty)
    for _ in range(2):
        asyncio.run(live.look_back())
    assert (live.served, empty.looks) == (None, 1)


def canary(version: str = "v2", share: float = 0.1, **changes) -> Canary:
    return Canary(version=version, share=share, started_at=NOW, **changes)


def test_a_canary_is_served_while_it_runs_and_its_share_may_change(loader) -> None:
    follower = CanaryFollower(loader, Metrics())

    def follow(latest: Canary | None, live: str = "v1") -> None:
        asyncio.run(follower.follow(Wanted(live=live, canary=latest), beside_requests=True))

    follow(None)
    assert follower.served is None
    follow(canary())
    model = follower.served.model
    assert (model.variant, model.snapshot.version) == ("challenger", "v2")
    follow(canary(share=0.2))
    assert follower.served.model is model
    assert follower.served.record.share == 0.2
    assert loader.asked == [("v2", True)]
    follow(canary(outcome="promoted", ended_at=NOW), live="v2")
    assert follower.served is None
    assert follower.loaded("v2").snapshot is model.snapshot
    follow(canary(outcome="promoted", ended_at=NOW), live="v3")
    assert follower.loaded("v2") is None


def test_a_withdrawn_canary_stays_so_whatever_the_source_says(loader) -> None:
    follower = CanaryFollower(loader, Metrics())
    wanted = Wanted(live="v1", canary=canary())
    asyncio.run(follower.follow(wanted, beside_requests=True))
    follower.withdraw(canary())
    asyncio.run(follower.follow(wanted, beside_requests=True))
    assert follower.served is None
    assert "v2 is withdrawn" in follower.trouble


@pytest.mark.parametrize("failure", [NotLoaded("it is damaged"), SourceUnavailable("away")])
def test_a_canary_that_cannot_be_loaded_leaves_its_users_to_the_live_model(loader, failure) -> None:
    loader.failures = {"v2": failure}
    follower = CanaryFollower(loader, Metrics())
    wanted = Wanted(live="v1", canary=canary())
    asyncio.run(follower.follow(wanted, beside_requests=True))
    assert follower.served is None
    assert follower.trouble == (
        f"its users get the live model, the canary is not served: {failure}"
    )


def test_a_promoted_canary_grows_whoever_has_it_take_in_what_is_new(loader, monkeypatch) -> None:
    """It is the model of both followers; the one of the canary may be the first to ask."""
    loaded = made("v2")
    newer = SimpleNamespace(**vars(loaded.snapshot))
    news = [newer]

    async def take_in(_items: object) -> bool:
        if not news:
            return False
        loaded.growing.snapshot = news.pop()
        return True

    async def load(_version: str, *, beside_requests: bool) -> SimpleNamespace:
        return loaded

    loaded.growing.follow = take_in
    monkeypatch.setattr(loader, "load", load)
    live, trial = live_follower(loader, Source()), CanaryFollower(loader, Metrics())
    wanted = Wanted(live="v1", canary=canary())
    asyncio.run(trial.follow(wanted, beside_requests=True))
    asyncio.run(live.follow("v2", trial.loaded("v2")))
    asyncio.run(trial.follow(Wanted(live="v2", canary=canary()), beside_requests=True))
    assert asyncio.run(trial.follow_items(None))
    assert not asyncio.run(live.follow_items(None))
    assert live.served.snapshot is newer
