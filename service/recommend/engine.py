"""Recommends: the journey of a request from the user's id to a list with its reasons.

Letters: B requests, N items shown, R these and others beside them, V views, M modalities,
D dimension, K experts, F = V * M * D, P items of a pool.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from model.runtime.top_k import Rows
from service.ops.batching import Batcher, in_a_thread
from service.ops.metrics import Metrics
from service.recommend.adjustments import listed
from service.recommend.because import COMPARED, POPULAR, VERBS, Reasons, because
from service.recommend.explanation import ListExplanation, explain_lists, named, plain_numbers
from service.recommend.resolution import ResolvedRequest, read_user, resolve
from service.recommend.rules import check_rules, limited, with_pins
from service.retrieval.query import (
    POOL,
    Eligible,
    Floats,
    Query,
    Ranked,
    Retriever,
    diversified,
    most_popular,
    most_popular_with_points,
)
from service.schemas.requests import RecommendationRequest
from service.schemas.responses import Recommendation, RecommendedItem, Source
from service.serving.served import Served
from service.store.users import UserState

_ONLY: Mapping[Source, list[str]] = {
    "session": ["Based on the session's items only"],
    "live": ["Based on the user's latest events only"],
}
Asked = tuple[Served, RecommendationRequest, UserState]
"""The model that a request has captured, the request, and the user that it names."""
Explained = tuple[ListExplanation, Reasons]
"""What adds up to the scores of a list, and who speaks for its items."""


class RecommendationEngine:
    """Answers from whatever model it is handed.

    Args:
        metrics: where stages and fallbacks are counted.
        max_batch: most requests that share one pass over the items.
        max_waiting: most requests that wait for their turn; a further one is refused.
    """

    def __init__(self, *, metrics: Metrics, max_batch: int, max_waiting: int) -> None:
        self._metrics = metrics
        self._batcher = Batcher[Asked, Recommendation](
            in_a_thread(self.recommend_together),
            max_batch=max_batch,
            max_waiting=max_waiting,
            metrics=metrics,
        )

    async def recommend(
        self, served: Served, request: RecommendationRequest, place: str = ""
    ) -> Recommendation:
        """The ranks offset + 1 to offset + k; Overloaded, InvalidRequest.

        The user is read here. All else happens in `recommend_together`, in one worker thread,
        for all requests that arrived while the thread was busy. `place` is what the names of faulty
        fields begin with.
        """
        if not request.is_empty:
            check_rules(served.snapshot.items, request, place)
        with served.statistics.attempt():
            with self._metrics.stage("lookup"):
                user = await read_user(served.snapshot, request.user_id)
            return await self._batcher.run((served, request, user))

    def recommend_together(self, batch: Sequence[Asked]) -> list[Recommendation]:
        """Answer requests at once: resolve, retrieve and route, page, explain, answer. Blocking.

        What several requests can share is done once for all of them: the pass over a model's items,
        and the run of the graph that takes scores apart.
        """
        resolved = [resolve(*asked) for asked in batch]
        found = self._retrieve_and_route(resolved)
        with self._metrics.stage("rank"):
            shown = [_page(*each) for each in zip(resolved, found, strict=True)]
        explained = self._explain(resolved, found, shown)
        return [self._answer(*each) for each in zip(resolved, shown, explained, strict=True)]

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._batcher.close()

    def _retrieve_and_route(self, resolved: Sequence[ResolvedRequest]) -> list[Ranked]:
        """The best items of every request; requests of one model share the pass over its items."""
        found: dict[int, Ranked] = {}
        for places in _places_by(
            None if each.choice.profile is None else id(each.served.snapshot) for each in resolved
        ):
            retriever = resolved[places[0]].served.snapshot.retriever
            with self._metrics.stage("retrieve"):
                plain = [place for place in places if not resolved[place].limits]
                queries = [_query(resolved[place]) for place in plain]
                found |= dict(zip(plain, retriever.best(queries), strict=True))
                for place in places:
                    if resolved[place].limits:
                        found[place] = _limited(resolved[place], retriever)
        return [
            found[place] if place in found else _popular(each)
            for place, each in enumerate(resolved)
        ]

    def _explain(
        self, resolved: Sequence[ResolvedRequest], found: Sequence[Ranked], shown: Sequence[Ranked]
    ) -> list[Explained | None]:
        """What adds up to the scores; lists of one model and length share a run of the graph."""
        explained: list[Explained | None] = [None] * len(resolved)
        for places in _places_by(map(_explained_with, resolved, shown)):
            asked = [resolved[place] for place in places]
            served, snapshot = asked[0].served, asked[0].served.snapshot
            with self._metrics.stage("explain"):
                rows_BN = np.stack([shown[place].rows for place in places])
                profiles = [each.profile for each in asked]
                breakdowns = snapshot.scorer.explain_all(profiles, rows_BN)
                bias_BN = np.stack(
                    [each.bias(rows_N) for each, rows_N in zip(asked, rows_BN, strict=True)]
                )
                lists = explain_lists(snapshot, rows_BN, bias_BN, breakdowns)
                for place, parts, breakdown, bias_N in zip(
                    places, lists, breakdowns, bias_BN, strict=True
                ):
                    each = resolved[place]
                    source = (each.profile, each.choice.histories)
                    rows_R = _compared(found[place], shown[place])
                    verb = VERBS[each.choice.source]
                    explained[place] = (
                        parts,
                        because(snapshot, source, verb, rows_R, breakdown, bias_N),
                    )
            weight_K = np.sum([each.weight_CK.sum(axis=0) for each in breakdowns], axis=0)
            served.statistics.routed(len(places), weight_K)
        return explained

    def _answer(
        self, resolved: ResolvedRequest, shown: Ranked, explained: Explained | None
    ) -> Recommendation:
        served, choice = resolved.served, resolved.choice
        if choice.fallback_reason is not None:
            labels = (choice.fallback_reason, choice.source, served.variant)
            self._metrics.fallbacks.labels(*labels).inc()
        self._metrics.served(choice.source, len(shown.rows))
        return Recommendation(
            model_version=served.snapshot.version,
            variant=served.variant,
            user_id=resolved.request.user_id,
            fallback="popular" if choice.source == "popular" else None,
            live_events=resolved.live_events,
            warnings=resolved.warnings,
            missing_ids=resolved.missing_ids,
            unavailable_ids=resolved.unavailable_ids,
            items=_items(resolved, shown, explained),
        )


def _places_by(keys: Iterable[Hashable | None]) -> list[list[int]]:
    """The places of equal keys together; those of None left out."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(place)
    return list(places.values())


def _wanted(request: RecommendationRequest) -> int:
    """How many of the best items the answer is made of."""
    end = request.offset + request.k
    if request.explain != "none":
        end = max(end, COMPARED)
    return max(end, POOL) if request.diversity > 0 else end


def _query(resolved: ResolvedRequest) -> Query:
    wanted = _wanted(resolved.request)
    return Query(resolved.profile, resolved.eligible, wanted, resolved.points_I)


def _limited(resolved: ResolvedRequest, retriever: Retriever) -> Ranked:
    query = _query(resolved)

    def find(eligible: Eligible, count: int) -> Ranked:
        return retriever.best([replace(query, eligible=eligible, count=count)])[0]

    items = resolved.served.snapshot.items
    return limited(items, resolved.limits, find, query.eligible, query.count)


def _popular(resolved: ResolvedRequest) -> Ranked:
    items = resolved.served.snapshot.items
    count = _wanted(resolved.request)
    points_I = resolved.points_I

    def find(eligible: Eligible, count: int) -> Ranked:
        if points_I is not None:
            return most_popular_with_points(items.popularity_I, points_I, eligible, count)
        return most_popular(items.popular_order_I, items.popularity_I, eligible, count)

    if resolved.limits:
        return limited(items, resolved.limits, find, resolved.eligible, count)
    return find(resolved.eligible, count)


def _page(resolved: ResolvedRequest, ranked: Ranked) -> Ranked:
    """The items of the answer, in its order."""
    request = resolved.request
    page = slice(request.offset, request.offset + request.k)
    if request.diversity > 0:
        ranked = _diverse(resolved, ranked, page.stop)
    if resolved.pins:
        ranked = with_pins(ranked, resolved.pins, _scores_of_pins(resolved), page.stop)
    return Ranked(ranked.rows[page], ranked.scores[page])


def _scores_of_pins(resolved: ResolvedRequest) -> Floats:
    """As those of the other items of the list."""
    snapshot, profile = resolved.served.snapshot, resolved.choice.profile
    rows = np.array([pin.row for pin in resolved.pins])
    if profile is None:
        scores: Floats = np.log1p(snapshot.items.popularity_I[rows]).astype(np.float32)
        return scores
    return _query(resolved).pointed(rows, snapshot.scorer.score(profile, rows))


def _diverse(resolved: ResolvedRequest, ranked: Ranked, wanted: int) -> Ranked:
    """The first `wanted` items, each unlike those before it."""
    pool = ranked.rows[:POOL]
    vector_PVMD = resolved.served.snapshot.items.embeddings_IVMD[pool]
    vector_PF = vector_PVMD.reshape(len(pool), math.prod(vector_PVMD.shape[1:]))
    order = diversified(ranked.scores[:POOL], vector_PF, resolved.request.diversity, wanted)
    places = np.concatenate([order, np.arange(len(pool), len(ranked.rows))])
    return Ranked(ranked.rows[places], ranked.scores[places])


def _compared(found: Ranked, shown: Ranked) -> Rows:
    """What is shown, filled up to `COMPARED` with the best items that are not."""
    if len(shown.rows) >= COMPARED:
        return shown.rows
    best = [*shown.rows.tolist(), *found.rows[:COMPARED].tolist()]
    return np.array(list(dict.fromkeys(best))[:COMPARED], dtype=np.intp)


def _explained_with(resolved: ResolvedRequest, shown: Ranked) -> tuple[int, int] | None:
    """Equal for lists that are explained together; None for one that is not explained."""
    if resolved.choice.profile is None or resolved.request.explain == "none":
        return None
    return (id(resolved.served), len(shown.rows)) if len(shown.rows) else None


def _items(
    resolved: ResolvedRequest, shown: Ranked, explained: Explained | None
) -> list[RecommendedItem]:
    """The items as they are answered, without reasons where nothing is explained."""
    snapshot, source = resolved.served.snapshot, resolved.choice.source
    if source == "popular":
        scores: list[float] = snapshot.items.popularity_I[shown.rows].tolist()
        biases = scores
    else:
        scores = plain_numbers(shown.scores)
        biases = plain_numbers(resolved.bias(shown.rows))
    labels = map(snapshot.items.label, shown.rows.tolist())
    adjusted = listed(resolved.adjustments, shown.rows)
    items: list[RecommendedItem] = [
        {
            "item_id": item_id,
            "title": title,
            "rank": rank,
            "score": score,
            "bias": bias,
            "source": source,
            "reasons": [],
            "because": [],
            "experts": None,
            "by_modality": None,
            "by_view": None,
            "adjustments": adjustments,
        }
        for rank, ((item_id, title), score, bias, adjustments) in enumerate(
            zip(labels, scores, biases, adjusted, strict=True), resolved.request.offset + 1
        )
    ]
    for item in items if source == "popular" else ():
        item["reasons"] = [POPULAR, f"Popular: {item['score']} interactions in the training data"]
    if explained is not None:
        parts, reasons = explained
        more = _ONLY.get(source, [])
        for item, sentence, who, numbers, experts in zip(
            items, reasons.sentences, reasons.because, parts.reasons, parts.experts, strict=True
        ):
            item["reasons"], item["because"] = [sentence, numbers, *more], who
            item["experts"] = experts
        if resolved.request.explain == "full":
            manifest = snapshot.manifest
            modality_NM, view_NV = parts.modality_NM.tolist(), parts.view_NV.tolist()
            for item, modality_M, view_V in zip(items, modality_NM, view_NV, strict=True):
                item["by_modality"] = named(manifest.modalities, modality_M)
                item["by_view"] = named(manifest.views, view_V)
    _tell_pins(resolved, shown, items)
    return items


def _tell_pins(resolved: ResolvedRequest, shown: Ranked, items: Sequence[RecommendedItem]) -> None:
    pinned_rows = {pin.row for pin in resolved.pins}
    for item, row in zip(items, shown.rows.tolist(), strict=True):
        if row in pinned_rows:
            item["reasons"] = [*item["reasons"], "Pinned to this rank"]
