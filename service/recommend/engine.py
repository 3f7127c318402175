"""Recommends: the journey of a request from the user's id to a list with its reasons."""

from collections.abc import Sequence

from service.ops.batching import Batcher, in_a_thread
from service.ops.metrics import Metrics
from service.ops.process import making_a_list
from service.recommend.answer import Answer, answers
from service.recommend.kept import KeptAnswers
from service.recommend.lists import Asked, lists_together
from service.recommend.resolution import check_modalities, read_user
from service.recommend.rules import check_rules
from service.schemas import costs
from service.schemas.requests import RecommendationRequest
from service.serving.served import Served


class RecommendationEngine:
    """Answers from whatever model it is handed.

    Args:
        metrics: where stages and fallbacks are counted.
        max_batch: most usual requests that share one pass over the items; fewer of longer lists,
            so that others come between them, and little is in memory at once.
        max_waiting: most requests that wait for their turn; a further one is refused.
        most_kept_bytes: of answers that are kept, see `KeptAnswers`.
    """

    def __init__(
        self, *, metrics: Metrics, max_batch: int, max_waiting: int, most_kept_bytes: int = 0
    ) -> None:
        self._metrics = metrics
        self.kept = KeptAnswers(most_kept_bytes, metrics)
        self._batcher = Batcher[Asked, Answer](
            in_a_thread(self.recommend_together),
            max_batch=max_batch,
            max_waiting=max_waiting,
            metrics=metrics,
            weigh=_units,
        )

    async def recommend(
        self, served: Served, request: RecommendationRequest, place: str = ""
    ) -> Answer:
        """The ranks offset + 1 to offset + k; Overloaded, InvalidRequest.

        The user is read here. Unless the answer is kept, all else happens in `recommend_together`,
        in one worker thread, for all requests that arrived while the thread was busy. `place` is
        what the names of faulty fields begin with.
        """
        if not request.is_empty:
            check_rules(served.snapshot.items, request, place)
        check_modalities(served.snapshot, request.without_modalities, place)
        with making_a_list(), served.statistics.attempt():
            with self._metrics.stage("lookup"), self._batcher.expecting():
                user = await read_user(served.snapshot, request.user_id)
            key = self.kept.key(request, user)
            answer = None if key is None else self.kept.get(key, served, user)
            if answer is None:
                answer = await self._batcher.run((served, request, user))
                if key is not None and answer.is_whole:
                    self.kept.put(key, served, user, answer)
        self._count(served, answer)
        return answer

    def recommend_together(self, batch: Sequence[Asked]) -> list[Answer]:
        """Answer requests at once. Blocking."""
        return answers(lists_together(batch, self._metrics), self._metrics)

    def _count(self, served: Served, answer: Answer) -> None:
        self._metrics.served(answer.source, answer.items)
        if answer.fallback_reason is not None:
            labels = (answer.fallback_reason, answer.source, answer.variant)
            self._metrics.fallbacks.labels(*labels).inc()
        if answer.weight_K is not None:
            served.statistics.routed(answer.weight_K)

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._batcher.close()


def _units(asked: Asked) -> float:
    _, request, _ = asked
    return costs.of_list(request)
