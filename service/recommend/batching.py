"""Micro-batching: requests that arrive while one batch is computed make the next one.

Nobody waits for company: an idle worker takes a request at once, a busy one finds several. Knows
queues; knows nothing about what is computed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

from service.ops.metrics import Metrics
from service.schemas.errors import Overloaded

Job = TypeVar("Job")
Result = TypeVar("Result")


class Batcher(Generic[Job, Result]):
    """Hands jobs to one worker thread, as many at a time as are waiting.

    Args:
        work: computes a batch; a result per job, in their order. If it raises, each of the jobs
            is tried alone, so that one that cannot be computed fails nobody else.
        max_batch: most jobs in one call of `work`.
        max_waiting: most jobs that wait; a further one is refused.
        metrics: where batches and the queue are counted.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Result]],
        *,
        max_batch: int,
        max_waiting: int,
        metrics: Metrics,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._waiting: deque[tuple[Job, asyncio.Future[Result]]] = deque()
        self._thread = CapacityLimiter(1)
        self._running: asyncio.Task[None] | None = None

    async def run(self, job: Job) -> Result:
        """The result of one job.

        A caller that is cancelled meanwhile leaves its job behind, which is then skipped.

        Raises:
            Overloaded: too many are waiting.
        """
        if len(self._waiting) >= self._max_waiting:
            self._drop_abandoned()
        if len(self._waiting) >= self._max_waiting:
            self._metrics.overloads.inc()
            raise Overloaded(f"{len(self._waiting)} requests are waiting to be computed; try again")
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, result))
        self._metrics.waiting.set(len(self._waiting))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await result

    async def close(self) -> None:
        """Stop after the batch that is being computed; whoever still waits is cancelled."""
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        if self._running is not None:
            await self._running

    def _drop_abandoned(self) -> None:
        self._waiting = deque(pair for pair in self._waiting if not pair[1].done())

    async def _run(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            if not batch:
                continue
            work = partial(self._results, [job for job, _ in batch])
            results = await to_thread.run_sync(work, limiter=self._thread)
            for (_, waiter), result in zip(batch, results, strict=True):
                if waiter.done():
                    continue
                if isinstance(result, Exception):
                    waiter.set_exception(result)
                else:
                    waiter.set_result(result)

    def _results(self, jobs: Sequence[Job]) -> list[Result | Exception]:
        try:
            return list(self._work(jobs))
        except Exception as error:  # noqa: BLE001  # it is the caller's, who is waiting for it
            if len(jobs) == 1:
                return [error]
            return [self._results([job])[0] for job in jobs]

    def _next_batch(self) -> list[tuple[Job, asyncio.Future[Result]]]:
        batch: list[tuple[Job, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._max_batch:
            job, waiter = self._waiting.popleft()
            if not waiter.done():
                batch.append((job, waiter))
        self._metrics.waiting.set(len(self._waiting))
        if batch:
            self._metrics.batch_size.observe(len(batch))
        return batch
