import asyncio

import pytest

from service.schemas.errors import SourceUnavailable
from service.store.store import RoundTrips

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """Says how often it was asked, and when a trip began; can be held, and can fail."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.waited: list[float] = []
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()

    async def ask(self, questions, since):
        self.trips.append(list(questions))
        self.begun.set()
        self.waited.append(asyncio.get_running_loop().time() - since)
        number = len(self.trips)
        await self.open.wait()
        if "away" in questions:
            raise SourceUnavailable("it is away")
        return [
            SourceUnavailable(f"{question} is damaged")
            if question.startswith("bad")
            else f"{question} in {number}"
            for question in questions
        ]


async def test_whoever_comes_during_a_trip_shares_the_next() -> None:
    server = Server()
    trips = RoundTrips(server.ask, most=3)
    server.open.clear()
    first = asyncio.create_task(trips.ask("a"))
    await server.begun.wait()
    others = [asyncio.create_task(trips.ask(question)) for question in "bcde"]
    await asyncio.sleep(0.05)
    assert server.trips == [["a"]]
    server.open.set()
    assert await first == "a in 1"
    assert await asyncio.gather(*others) == ["b in 2", "c in 2", "d in 2", "e in 3"]
    assert server.waited[1] >= 0.04


async def test_an_answer_that_cannot_be_had_is_nobody_elses_trouble() -> None:
    trips = RoundTrips(Server().ask, most=10)
    good, bad = await asyncio.gather(trips.ask("a"), trips.ask("bad"), return_exceptions=True)
    assert good == "a in 1"
    assert str(bad) == "bad is damaged"
    assert await trips.ask("b") == "b in 2"


async def test_a_trip_that_fails_fails_those_in_it_and_no_later_one() -> None:
    trips = RoundTrips(Server().ask, most=10)
    for error in await asyncio.gather(trips.ask("a"), trips.ask("away"), return_exceptions=True):
        assert isinstance(error, SourceUnavailable)
    assert await trips.ask("b") == "b in 2"


async def test_whoever_has_left_is_not_asked_for() -> None:
    server = Server()
    trips = RoundTrips(server.ask, most=10)
    server.open.clear()
    first, left, stays = (asyncio.create_task(trips.ask(question)) for question in "abc")
    await server.begun.wait()
    late = asyncio.create_task(trips.ask("d"))
    await asyncio.sleep(0)
    for task in (left, late):
        task.cancel()
    await asyncio.gather(left, late, return_exceptions=True)
    server.open.set()
    assert await asyncio.gather(first, stays) == ["a in 1", "c in 1"]
    assert await trips.ask("e") == "e in 2"
    assert server.trips == [["a", "b", "c"], ["e"]]
