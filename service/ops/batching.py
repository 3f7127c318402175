"""Micro-batching: the jobs that arrive during one batch make the next batch.

An idle worker takes a single job at once, unless others are being prepared: for those a batch waits
a moment, as what it costs is mostly the same for one job and for many (docs/adr/0052).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

from model.tracing.spans import Span, current, together
from service.ops.metrics import Metrics
from service.schemas.errors import Overloaded

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE_SECONDS = 0.003
"""Most that a batch waits for jobs that are expected: some round trips to Redis."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Job, Result]):
    job: Job
    result: asyncio.Future[Result]
    since: float
    """By the clock of the event loop."""
    spans: tuple[Span, ...]
    """What the caller works for."""


class Batcher(Generic[Job, Result]):
    """Works on one batch at a time: the jobs that wait when it begins.

    Args:
        work: takes the jobs, and the time when the first of them began to wait (by the clock of the
            event loop). It returns a result or an error per job, in order; an error that it raises
            goes to every job.
        max_batch: most jobs in one batch; where they are weighed, the weight that ends it.
        max_waiting: most jobs that wait; further ones are refused. None: no limit.
        metrics: where batches and the queue are counted.
        weigh: how many usual jobs a job is worth, at least one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job], float], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch: int,
        max_waiting: int | None = None,
        metrics: Metrics | None = None,
        weigh: Callable[[Job], float] = lambda _job: 1,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._weigh = weigh
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._expected = 0
        self._complete = asyncio.Event()
        """Nobody is expected any more, or a batch is full."""

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """A job is being prepared meanwhile; a batch that has not begun waits for it a moment."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            if not self._expected:
                self._complete.set()

    async def run(self, job: Job) -> Result:
        """The result of one job; it is skipped if the caller is cancelled before its batch.

        Raises:
            Overloaded: too many are waiting.
        """
        if self._max_waiting is not None:
            self._check_room(self._max_waiting)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(job, result, loop.time(), current.get()))
        self._note()
        if len(self._waiting) >= self._max_batch:
            self._complete.set()
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await result

    async def close(self) -> None:
        """Finish the current batch, and cancel the jobs that still wait."""
        while self._waiting:
            self._waiting.popleft().result.cancel()
        if self._running is not None:
            await self._running

    def _check_room(self, most: int) -> None:
        if len(self._waiting) >= most:
            self._waiting = deque(each for each in self._waiting if not each.result.done())
        if len(self._waiting) >= most:
            if self._metrics is not None:
                self._metrics.overloads.inc()
            raise Overloaded(f"{len(self._waiting)} requests are waiting to be computed; try again")

    def _note(self, batch_size: int = 0) -> None:
        if self._metrics is not None:
            self._metrics.waiting.set(len(self._waiting))
            if batch_size:
                self._metrics.batch_size.observe(batch_size)

    async def _run(self) -> None:
        while self._waiting:
            await self._everybody()
            batch: list[_Waiting[Job, Result]] = []
            weight = 0.0
            while self._waiting and weight < self._max_batch:
                if not (each := self._waiting.popleft()).result.done():
                    batch.append(each)
                    weight += self._weigh(each.job)
            self._note(len(batch))
            if batch:
                await self._answer(batch)

    async def _everybody(self) -> None:
        """Let those go first who have just been answered or come in, and wait for the expected."""
        await asyncio.sleep(0)
        if not self._expected:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._expected and len(self._waiting) < self._max_batch:
                    self._complete.clear()
                    await self._complete.wait()
                    await asyncio.sleep(0)

    async def _answer(self, batch: Sequence[_Waiting[Job, Result]]) -> None:
        results: Sequence[Result | Exception]
        try:
            with together(each.spans for each in batch):
                results = await self._work([each.job for each in batch], batch[0].since)
        except Exception as error:  # noqa: BLE001  # raised where the callers wait
            results = [error] * len(batch)
        for each, result in zip(batch, results, strict=True):
            if each.result.done():
                continue
            if isinstance(result, Exception):
                each.result.set_exception(result)
            else:
                each.result.set_result(result)


def in_a_thread(
    work: Callable[[Sequence[Job]], Sequence[Result]],
) -> Callable[[Sequence[Job], float], Awaitable[Sequence[Result | Exception]]]:
    """Make `work` run in one worker thread, for a `Batcher`.

    If it raises for several jobs, each is tried alone, so that a faulty one fails no other.
    """
    limiter = CapacityLimiter(1)

    def results(jobs: Sequence[Job]) -> list[Result | Exception]:
        try:
            return list(work(jobs))
        except Exception as error:  # noqa: BLE001  # raised where the caller waits
            return [error] if len(jobs) == 1 else [results([job])[0] for job in jobs]

    async def compute(jobs: Sequence[Job], _since: float) -> Sequence[Result | Exception]:
        return await to_thread.run_sync(results, jobs, limiter=limiter)

    return compute
