"""Questions to a server that share round trips: those that wait when one begins are in it.

A question is only ever answered by a round trip that began after it was asked. Nobody waits for
company. Knows queues; knows nothing about what is asked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import SourceUnavailable

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer]
    since: float
    """By the clock of the event loop."""


class RoundTrips(Generic[Question, Answer]):
    """One round trip at a time, for whoever waits when it begins.

    Args:
        ask: makes a round trip for some questions, by the time since when the first of them waits;
            an answer, or why there is none, per question.
        most: questions in one round trip.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question], float], Awaitable[Sequence[Answer | SourceUnavailable]]],
        most: int,
    ) -> None:
        self._ask = ask
        self._most = most
        self._waiting: deque[_Waiting[Question, Answer]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer to one question; SourceUnavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Waiting(question, answer, loop.time()))
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            count = min(self._most, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            batch = [each for each in batch if not each.answer.done()]
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[_Waiting[Question, Answer]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._ask([each.question for each in batch], batch[0].since)
        except Exception as error:  # noqa: BLE001  # it is the callers', who are waiting for it
            answers = [error] * len(batch)
        for each, answer in zip(batch, answers, strict=True):
            if each.answer.done():
                continue
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)
