import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.ops import batching
from service.ops.batching import Batcher, in_a_thread
from service.ops.metrics import Metrics
from service.schemas.errors import Overloaded, SourceUnavailable
from tests import waiting

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Worker:
    """Doubles numbers, one batch at a time, when it is let; a negative one breaks its batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.may_go = threading.Event(), threading.Event()

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        self.begun.set()
        assert self.may_go.wait(waiting.PATIENCE_SECONDS)
        if min(jobs) < 0:
            raise ValueError(f"{min(jobs)} is negative")
        return [2 * job for job in jobs]


@pytest.fixture
def worker() -> Worker:
    return Worker()


def batcher(worker, **limits: int) -> Batcher[int, int]:
    bounds = {"max_batch": 3, "max_waiting": 100} | limits
    return Batcher(in_a_thread(worker), **bounds, metrics=Metrics())


async def busy_with(worker: Worker, first: asyncio.Task[int]) -> None:
    assert await asyncio.to_thread(worker.begun.wait, waiting.PATIENCE_SECONDS)
    assert not first.done()


async def test_heavy_jobs_make_smaller_batches(worker) -> None:
    queue = Batcher(in_a_thread(worker), max_batch=10, weigh=lambda job: max(1, job))
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    others = [asyncio.create_task(queue.run(number)) for number in (6, 6, 1, 20, 1, 1)]
    await asyncio.sleep(0)
    worker.may_go.set()
    await asyncio.gather(first, *others)
    assert worker.batches == [[0], [6, 6], [1, 20], [1, 1]]


async def test_what_arrives_meanwhile_is_computed_together_and_in_order(worker) -> None:
    queue = batcher(worker)
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    others = [asyncio.create_task(queue.run(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    worker.may_go.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10]
    assert worker.batches == [[0], [1, 2, 3], [4, 5]]


async def test_a_batch_waits_for_jobs_that_are_being_prepared(worker, monkeypatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE_SECONDS", 3600)
    queue, prepared = batcher(worker), asyncio.Event()
    worker.may_go.set()

    async def prepare(number: int) -> int:
        with queue.expecting():
            await prepared.wait()
        return await queue.run(number)

    others = [asyncio.create_task(prepare(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    first = asyncio.create_task(queue.run(0))
    await asyncio.sleep(0)
    prepared.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4]
    assert worker.batches == [[0, 1, 2]]


async def test_a_batch_does_not_wait_for_ever_for_what_is_expected(worker) -> None:
    queue = batcher(worker)
    worker.may_go.set()
    with queue.expecting():
        assert await queue.run(1) == 2
    assert worker.batches == [[1]]


async def test_a_full_batch_waits_for_nobody(worker, monkeypatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE_SECONDS", 3600)
    queue = batcher(worker, max_batch=2)
    worker.may_go.set()
    with queue.expecting():
        assert await asyncio.gather(queue.run(1), queue.run(2)) == [2, 4]


async def test_beyond_the_bound_a_request_is_refused_and_the_others_are_not(worker) -> None:
    queue = batcher(worker, max_waiting=2)
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    waiting = [asyncio.create_task(queue.run(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 requests are waiting"):
        await queue.run(3)
    worker.may_go.set()
    assert await asyncio.gather(first, *waiting) == [0, 2, 4]


async def test_a_job_that_nobody_waits_for_is_skipped_and_frees_its_place(worker) -> None:
    queue = batcher(worker, max_waiting=2)
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await queue.run(1)
    waiting = [asyncio.create_task(queue.run(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    worker.may_go.set()
    assert await asyncio.gather(first, *waiting) == [0, 4, 6]
    assert worker.batches == [[0], [2, 3]]


async def test_a_job_that_breaks_its_batch_fails_alone(worker) -> None:
    queue = batcher(worker)
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    others = [asyncio.create_task(queue.run(number)) for number in (1, -1, 2)]
    await asyncio.sleep(0)
    worker.may_go.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [results[0], results[1], results[3]] == [0, 2, 4]
    assert isinstance(results[2], ValueError)
    assert worker.batches == [[0], [1, -1, 2], [1], [-1], [2]]
    assert await queue.run(7) == 14


async def test_closing_lets_nobody_hang(worker) -> None:
    queue = batcher(worker, max_batch=1)
    first = asyncio.create_task(queue.run(0))
    await busy_with(worker, first)
    second = asyncio.create_task(queue.run(1))
    await asyncio.sleep(0)
    worker.may_go.set()
    await queue.close()
    _, pending = await asyncio.wait([first, second], timeout=waiting.PATIENCE_SECONDS)
    assert not pending
    assert second.cancelled()
    assert first.result() == 0


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
    trips = Batcher(server.ask, max_batch=3)
    server.open.clear()
    first = asyncio.create_task(trips.run("a"))
    await server.begun.wait()
    others = [asyncio.create_task(trips.run(question)) for question in "bcde"]
    await asyncio.sleep(0)  # all are waiting now
    await asyncio.sleep(0.05)
    assert server.trips == [["a"]]
    server.open.set()
    assert await first == "a in 1"
    assert await asyncio.gather(*others) == ["b in 2", "c in 2", "d in 2", "e in 3"]
    assert server.waited[1] >= 0.04


async def test_an_answer_that_cannot_be_had_is_nobody_elses_trouble() -> None:
    trips = Batcher(Server().ask, max_batch=10)
    good, bad = await asyncio.gather(trips.run("a"), trips.run("bad"), return_exceptions=True)
    assert good == "a in 1"
    assert str(bad) == "bad is damaged"
    assert await trips.run("b") == "b in 2"


async def test_a_trip_that_fails_fails_those_in_it_and_no_later_one() -> None:
    trips = Batcher(Server().ask, max_batch=10)
    for error in await asyncio.gather(trips.run("a"), trips.run("away"), return_exceptions=True):
        assert isinstance(error, SourceUnavailable)
    assert await trips.run("b") == "b in 2"


async def test_whoever_has_left_is_not_asked_for() -> None:
    server = Server()
    trips = Batcher(server.ask, max_batch=10)
    server.open.clear()
    first, left, stays = (asyncio.create_task(trips.run(question)) for question in "abc")
    await server.begun.wait()
    late = asyncio.create_task(trips.run("d"))
    await asyncio.sleep(0)
    for task in (left, late):
        task.cancel()
    await asyncio.gather(left, late, return_exceptions=True)
    server.open.set()
    assert await asyncio.gather(first, stays) == ["a in 1", "c in 1"]
    assert await trips.run("e") == "e in 2"
    assert server.trips == [["a", "b", "c"], ["e"]]
