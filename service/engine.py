"""Recommends: look the user up, find the best items, explain what was chosen.

Knows the order of the steps and which of them are done for many requests at once. Knows nothing
about HTTP; every job carries the snapshot that its request has captured.

Letters: N items shown, V views, M modalities, D dimension.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.answer import popular_items, scored_items
from service.batching import Batcher
from service.diversity import POOL, diversified
from service.metrics import Metrics
from service.plan import Plan, make_plan
from service.requests import RecommendationRequest
from service.retrieval.popular import most_popular
from service.retrieval.retriever import Query, Ranked
from service.schemas import Recommendation, RecommendedItem
from service.snapshot import Snapshot
from service.taste import UserLookup, look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    snapshot: Snapshot
    request: RecommendationRequest
    user: UserLookup


class RecommendationEngine:
    """Answers from whatever snapshot it is handed.

    Args:
        metrics: where stages and fallbacks are counted.
        max_batch: most requests that share one pass over the items.
        max_waiting: most requests that wait for their turn; a further one is refused.
    """

    def __init__(self, *, metrics: Metrics, max_batch: int, max_waiting: int) -> None:
        self._metrics = metrics
        self._batcher = Batcher[_Job, Recommendation](
            self._answer_all, max_batch=max_batch, max_waiting=max_waiting, metrics=metrics
        )

    async def recommend(self, snapshot: Snapshot, request: RecommendationRequest) -> Recommendation:
        """The ranks offset + 1 to offset + k; Overloaded."""
        with self._metrics.stage("lookup"):
            user = await look_up(snapshot, request.user_id)
        return await self._batcher.run(_Job(snapshot=snapshot, request=request, user=user))

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._batcher.close()

    def _answer_all(self, jobs: Sequence[_Job]) -> list[Recommendation]:
        """Blocking."""
        plans = [make_plan(job.snapshot, job.request, job.user) for job in jobs]
        found = self._found(jobs, plans)
        return [
            self._answer(job.snapshot, plan, ranked)
            for job, plan, ranked in zip(jobs, plans, found, strict=True)
        ]

    def _found(self, jobs: Sequence[_Job], plans: Sequence[Plan]) -> list[Ranked]:
        """The best items of every plan; requests of one snapshot share the pass over its items."""
        found: dict[int, Ranked] = {}
        places_of: dict[int, list[int]] = {}
        for place, (job, plan) in enumerate(zip(jobs, plans, strict=True)):
            if plan.taste.vector_VMD is None:
                items = job.snapshot.items
                found[place] = most_popular(
                    items.popular_order_I, items.popularity_I, plan.eligible, _wanted(plan)
                )
            else:
                places_of.setdefault(id(job.snapshot), []).append(place)
        for places in places_of.values():
            queries = [_query(plans[place]) for place in places]
            with self._metrics.stage("retrieve"):
                ranked = jobs[places[0]].snapshot.retriever.best(queries)
            found |= dict(zip(places, ranked, strict=True))
        return [found[place] for place in range(len(jobs))]

    def _answer(self, snapshot: Snapshot, plan: Plan, ranked: Ranked) -> Recommendation:
        taste = plan.taste
        if taste.fallback_reason is not None:
            self._metrics.fallbacks.labels(taste.fallback_reason, taste.source).inc()
        with self._metrics.stage("rank"):
            shown = _page(snapshot, plan.request, ranked)
        return Recommendation(
            model_version=snapshot.version,
            user_id=plan.request.user_id,
            fallback="popular" if taste.source == "popular" else None,
            warnings=plan.warnings,
            missing_ids=plan.missing_ids,
            unavailable_ids=plan.unavailable_ids,
            items=self._items(snapshot, plan, shown),
        )

    def _items(self, snapshot: Snapshot, plan: Plan, shown: Ranked) -> list[RecommendedItem]:
        user_VMD = plan.taste.vector_VMD
        self._metrics.served_items.labels(plan.taste.source).inc(len(shown.rows))
        if user_VMD is None:
            return popular_items(snapshot, plan, shown.rows)
        breakdown = None
        if plan.request.explain != "none" and len(shown.rows):
            with self._metrics.stage("explain"):
                breakdown = snapshot.scorer.explain(user_VMD, shown.rows)
            weights = breakdown.weight_CK.sum(axis=0).tolist()
            for expert, weight in zip(snapshot.manifest.experts, weights, strict=True):
                self._metrics.served_weight.labels(expert.name).inc(weight)
        return scored_items(snapshot, plan, shown, breakdown)


def _wanted(plan: Plan) -> int:
    """How many of the best items the answer is made of."""
    end = plan.request.offset + plan.request.k
    return max(end, POOL) if plan.request.diversity > 0 else end


def _query(plan: Plan) -> Query:
    assert plan.taste.vector_VMD is not None
    return Query(plan.taste.vector_VMD, plan.eligible, _wanted(plan))


def _page(snapshot: Snapshot, request: RecommendationRequest, ranked: Ranked) -> Ranked:
    """The items of the answer, in its order."""
    page = slice(request.offset, request.offset + request.k)
    if request.diversity == 0:
        return Ranked(ranked.rows[page], ranked.scores[page])
    pool = ranked.rows[:POOL]
    vector_PVMD = snapshot.items.embeddings_IVMD[pool]
    vector_PF = vector_PVMD.reshape(len(pool), math.prod(vector_PVMD.shape[1:]))
    order = diversified(ranked.scores[:POOL], vector_PF, request.diversity, page.stop)
    places = np.concatenate([order, np.arange(len(pool), len(ranked.rows))])[page]
    return Ranked(ranked.rows[places], ranked.scores[places])
