"""Lists: from requests to ranked items and what adds up to their scores, all in arrays.

What an answer says of them is `answer.py`'s.

Letters: B requests, N items shown, C = B * N, R these and others beside them, V views,
M modalities, D dimension, K experts, F = V * M * D, P items of a pool.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.runtime.evidence import ListedItems
from model.runtime.scorer import Breakdown, OnnxScorer
from service.ops.metrics import Metrics
from service.recommend.because import COMPARED, VERBS, Reasons, because
from service.recommend.conditions import End
from service.recommend.explanation import Parts, Weights, parts_of_lists
from service.recommend.resolution import ResolvedRequest, resolve
from service.recommend.rules import limited, with_pins
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
from service.schemas.warned import Warned
from service.serving.served import Served
from service.store.users import UserState

Asked = tuple[Served, RecommendationRequest, UserState]
"""The model that a request has captured, the request, and the user that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Lists of one model with as many items each, taken apart together."""

    places: list[int]
    """Of the lists among all."""
    bias_C: Weights
    """What the scores begin with, all lists one after the other."""
    parts: Parts
    reasons: Reasons

    @property
    def weight_BK(self) -> Weights:
        """Of each list, the sum of its items' routing weights."""
        weight_CK = self.parts.weight_CK
        shape_BNK = len(self.places), -1, weight_CK.shape[1]
        weight_BK: Weights = weight_CK.reshape(shape_BNK).sum(axis=1)
        return weight_BK


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The lists of several requests, in their order."""

    resolved: list[ResolvedRequest]
    shown: list[Ranked]
    ends: list[End | None]
    """None of a list that is as long as asked for."""
    explained: list[Explained]
    """Lists of popular items, and those that nobody wants explained, are in none of them."""

    def warnings(self, place: int) -> list[Warned]:
        """What the answer to a request has to warn of."""
        end = self.ends[place]
        short = () if end is None else end.warnings
        return [*self.resolved[place].warnings, *self.shown[place].warnings, *short]


def lists_together(batch: Sequence[Asked], metrics: Metrics) -> Lists:
    """Make lists at once: resolve, retrieve and route, page, explain. Blocking.

    What several requests can share is done once for all of them: the pass over a model's items, and
    the run of the graph that takes scores apart.
    """
    resolved = [resolve(*asked) for asked in batch]
    found = _retrieve_and_route(resolved, metrics)
    with metrics.stage("rank"):
        shown = [_page(*each) for each in zip(resolved, found, strict=True)]
    ends = list(map(_end_of, resolved, found))
    to_explain = list(map(_to_explain, resolved, found, shown))
    explained = [
        _explain(places, resolved, shown, to_explain, metrics)
        for places in _places_by(map(_explained_with, resolved, shown, to_explain))
    ]
    return Lists(resolved=resolved, shown=shown, ends=ends, explained=explained)


def _retrieve_and_route(resolved: Sequence[ResolvedRequest], metrics: Metrics) -> list[Ranked]:
    """The best items of every request; requests of one model share the pass over its items."""
    found: dict[int, Ranked] = {}
    for places in _places_by(
        None if each.choice.profile is None else id(each.served.snapshot) for each in resolved
    ):
        retriever = resolved[places[0]].served.snapshot.retriever
        with metrics.stage("retrieve"):
            plain = [place for place in places if not resolved[place].limits]
            queries = [_query(resolved[place]) for place in plain]
            found |= dict(zip(plain, retriever.best(queries), strict=True))
            for place in places:
                if resolved[place].limits:
                    found[place] = _limited(resolved[place], retriever)
    return [
        found[place] if place in found else _popular(each) for place, each in enumerate(resolved)
    ]


def _explain(
    places: list[int],
    resolved: Sequence[ResolvedRequest],
    shown: Sequence[Ranked],
    to_explain: Sequence[ListedItems | None],
    metrics: Metrics,
) -> Explained:
    """What adds up to the scores of lists of one model and length, by one run of the graph."""
    asked = [resolved[place] for place in places]
    snapshot = asked[0].served.snapshot
    with metrics.stage("explain"):
        rows_BN = np.stack([shown[place].rows for place in places])
        breakdowns = _breakdowns(snapshot.scorer, asked, [shown[place] for place in places])
        bias_BN = np.stack([each.bias(rows_N) for each, rows_N in zip(asked, rows_BN, strict=True)])
        parts = parts_of_lists(snapshot, rows_BN, bias_BN, breakdowns)
        reasons = because(
            snapshot,
            [each for place in places if (each := to_explain[place]) is not None],
            [VERBS[each.choice.source] for each in asked],
            parts.channel_CG.reshape(*rows_BN.shape, -1),
            bias_BN,
        )
    return Explained(places=places, bias_C=bias_BN.reshape(-1), parts=parts, reasons=reasons)


def _breakdowns(
    scorer: OnnxScorer, asked: Sequence[ResolvedRequest], shown: Sequence[Ranked]
) -> list[Breakdown]:
    """Of lists of equal length: what routing has found, and for the others one run of the graph."""
    found = {place: each.breakdown for place, each in enumerate(shown) if each.breakdown}
    missing = [place for place in range(len(shown)) if place not in found]
    if missing:
        profiles = [asked[place].profile for place in missing]
        rows_BN = np.stack([shown[place].rows for place in missing])
        found |= zip(missing, scorer.explain_all(profiles, rows_BN), strict=True)
    return [found[place] for place in range(len(shown))]


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
    popularity = resolved.choice.popularity_times(resolved.served.snapshot)
    return Query(
        resolved.profile,
        resolved.eligible,
        _wanted(resolved.request),
        resolved.points_I,
        popularity=0.0 if resolved.adjustments else popularity,
    )


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
    return ranked.between(page.start, page.stop)


def _end_of(resolved: ResolvedRequest, found: Ranked) -> End | None:
    """None, too, if it is not the conditions that make it short."""
    length = len(found.rows) + len(resolved.pins)
    if found.warnings or length >= resolved.request.offset + resolved.request.k:
        return None
    return resolved.conditions.end_of(length)


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
    return ranked.at(places)


def _to_explain(resolved: ResolvedRequest, found: Ranked, shown: Ranked) -> ListedItems | None:
    """What is shown, and best items that are not up to `COMPARED`; None if nothing is explained."""
    profile = resolved.choice.profile
    if profile is None or resolved.request.explain == "none" or not len(shown.rows):
        return None
    rows_R = shown.rows
    if len(rows_R) < COMPARED:
        best = [*rows_R.tolist(), *found.rows[:COMPARED].tolist()]
        rows_R = np.array(list(dict.fromkeys(best))[:COMPARED], dtype=np.intp)
    return ListedItems(rows_R, profile, resolved.choice.histories)


def _explained_with(
    resolved: ResolvedRequest, shown: Ranked, to_explain: ListedItems | None
) -> tuple[int, int, int] | None:
    """Equal for lists that are explained together; None for one that is not explained."""
    if to_explain is None:
        return None
    return id(resolved.served), len(shown.rows), len(to_explain.rows_R)
