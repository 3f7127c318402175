"""Recommends: look the user up, find the best items, explain what was chosen.

Knows the order of the steps and which of them are done for many requests at once. Knows nothing
about HTTP; every job carries the model that its request has captured.

Letters: B requests, N items shown, V views, M modalities, D dimension, K experts, F = V * M * D,
P items of a pool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.runtime.profile import Profile
from service.ops.metrics import Metrics
from service.recommend.batching import Batcher
from service.recommend.context import Plan, UserLookup, look_up, make_plan
from service.recommend.items import Parts, parts_of, popular_items, scored_items
from service.retrieval.query import Query, Ranked
from service.retrieval.rerank import POOL, diversified, most_popular
from service.schemas.requests import RecommendationRequest
from service.schemas.responses import Recommendation
from service.serving.served import Served
from service.serving.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    served: Served
    request: RecommendationRequest
    user: UserLookup

    @property
    def snapshot(self) -> Snapshot:
        return self.served.snapshot


class RecommendationEngine:
    """Answers from whatever model it is handed.

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

    async def recommend(self, served: Served, request: RecommendationRequest) -> Recommendation:
        """The ranks offset + 1 to offset + k; Overloaded."""
        with served.tally.attempt():
            with self._metrics.stage("lookup"):
                user = await look_up(served.snapshot, request.user_id)
            return await self._batcher.run(_Job(served=served, request=request, user=user))

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._batcher.close()

    def _answer_all(self, jobs: Sequence[_Job]) -> list[Recommendation]:
        """Blocking."""
        plans = [make_plan(job.snapshot, job.request, job.user) for job in jobs]
        shown = self._shown(jobs, plans)
        taken_apart = self._taken_apart(jobs, plans, shown)
        return [
            self._answer(job.served, plan, ranked, parts)
            for job, plan, ranked, parts in zip(jobs, plans, shown, taken_apart, strict=True)
        ]

    def _found(self, jobs: Sequence[_Job], plans: Sequence[Plan]) -> list[Ranked]:
        """The best items of every plan; requests of one snapshot share the pass over its items."""
        found: dict[int, Ranked] = {}
        places_of: dict[int, list[int]] = {}
        for place, (job, plan) in enumerate(zip(jobs, plans, strict=True)):
            if plan.taste.profile is None:
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

    def _shown(self, jobs: Sequence[_Job], plans: Sequence[Plan]) -> list[Ranked]:
        found = self._found(jobs, plans)
        with self._metrics.stage("rank"):
            return [
                _page(job.snapshot, plan.request, ranked)
                for job, plan, ranked in zip(jobs, plans, found, strict=True)
            ]

    def _taken_apart(
        self, jobs: Sequence[_Job], plans: Sequence[Plan], shown: Sequence[Ranked]
    ) -> list[Parts | None]:
        """What speaks for every list that is to be explained; lists of one length share a run."""
        parts: list[Parts | None] = [None] * len(jobs)
        places_of: dict[tuple[int, int], list[int]] = {}
        for place, (job, plan, ranked) in enumerate(zip(jobs, plans, shown, strict=True)):
            explained = plan.taste.profile is not None and plan.request.explain != "none"
            if explained and len(ranked.rows):
                places_of.setdefault((id(job.served), len(ranked.rows)), []).append(place)
        for places in places_of.values():
            served = jobs[places[0]].served
            with self._metrics.stage("explain"):
                snapshot = served.snapshot
                rows_BN = np.stack([shown[place].rows for place in places])
                found = snapshot.scorer.explain_all(
                    [_profile(plans[place]) for place in places], rows_BN
                )
                told = parts_of(snapshot, rows_BN, found)
            for place, each in zip(places, told, strict=True):
                parts[place] = each
            weight_K = np.sum([breakdown.weight_CK.sum(axis=0) for breakdown in found], axis=0)
            served.tally.routed(len(found), weight_K)
        return parts

    def _answer(
        self, served: Served, plan: Plan, shown: Ranked, parts: Parts | None
    ) -> Recommendation:
        snapshot, taste = served.snapshot, plan.taste
        if taste.fallback_reason is not None:
            reason, source = taste.fallback_reason, taste.source
            self._metrics.fallbacks.labels(reason, source, served.variant).inc()
        self._metrics.served(taste.source, len(shown.rows))
        if taste.profile is None:
            items = popular_items(snapshot, plan, shown.rows)
        else:
            items = scored_items(snapshot, plan, shown, parts)
        return Recommendation(
            model_version=snapshot.version,
            variant=served.variant,
            user_id=plan.request.user_id,
            fallback="popular" if taste.source == "popular" else None,
            warnings=plan.warnings,
            missing_ids=plan.missing_ids,
            unavailable_ids=plan.unavailable_ids,
            items=items,
        )


def _wanted(plan: Plan) -> int:
    """How many of the best items the answer is made of."""
    end = plan.request.offset + plan.request.k
    return max(end, POOL) if plan.request.diversity > 0 else end


def _query(plan: Plan) -> Query:
    return Query(_profile(plan), plan.eligible, _wanted(plan))


def _profile(plan: Plan) -> Profile:
    assert plan.taste.profile is not None
    return plan.taste.profile


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
