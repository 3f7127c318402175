"""Recommends: look the user up, score, rank, explain what was chosen.

Knows the order of the steps and what stands in when one has nothing to work with. Knows nothing
about HTTP; every method takes the snapshot that the request has captured.

Letters: C eligible candidates, I items, V views, M modalities, D dimension.
"""

from functools import partial

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray

from service.diversity import POOL, diversified
from service.explanation import (
    active_experts,
    by_modality,
    by_view,
    largest_parts,
    plain,
    sentence_case,
)
from service.foldin import Vectors, fold_in, history_rows
from service.metrics import Metrics
from service.ranking import Rows, eligible_rows, top_places
from service.requests import RecommendationRequest
from service.schemas import Recommendation, RecommendedItem
from service.scorer import Breakdown
from service.snapshot import Snapshot
from service.taste import Taste, UserLookup, choose_taste, look_up


class RecommendationEngine:
    """Answers from whatever snapshot it is handed."""

    def __init__(self, *, metrics: Metrics, limiter: CapacityLimiter) -> None:
        self._metrics = metrics
        self._limiter = limiter

    async def recommend(self, snapshot: Snapshot, request: RecommendationRequest) -> Recommendation:
        """The ranks offset + 1 to offset + k."""
        with self._metrics.stage("lookup"):
            user = await look_up(snapshot, request.user_id)
        work = partial(self._recommend, snapshot, request, user)
        return await to_thread.run_sync(work, limiter=self._limiter)

    def _recommend(
        self, snapshot: Snapshot, request: RecommendationRequest, user: UserLookup
    ) -> Recommendation:
        session_rows, missing = snapshot.items.rows(request.session_items)
        session_VMD = fold_in(
            history_rows(snapshot.items.foldin_IVMD, session_rows, snapshot.manifest.recency_power)
        )
        taste = choose_taste(user, session_VMD, session_given=bool(request.session_items))
        if taste.fallback_reason is not None:
            self._metrics.fallbacks.labels(taste.fallback_reason, taste.source).inc()
        excluded = [user.hidden_rows]
        if request.exclude_seen:
            recent_rows, _ = snapshot.items.rows(user.recent_ids)
            excluded += [session_rows, user.seen_N.astype(np.intp), recent_rows]
        rows_C, missing_filters, warnings = _eligible(snapshot, request, excluded)
        items = self._ranked(snapshot, request, taste, rows_C)
        return Recommendation(
            model_version=snapshot.version,
            user_id=request.user_id,
            fallback="popular" if taste.source == "popular" else None,
            warnings=taste.warnings + warnings,
            missing_ids=list(dict.fromkeys(missing + missing_filters)),
            unavailable_ids=_hidden_ids(snapshot, request, user.hidden_rows),
            items=items,
        )

    def _ranked(
        self, snapshot: Snapshot, request: RecommendationRequest, taste: Taste, rows_C: Rows
    ) -> list[RecommendedItem]:
        if taste.vector_VMD is None:
            popularity_C = snapshot.items.popularity_I[rows_C]
            with self._metrics.stage("rank"):
                places = _ranked_places(snapshot, request, rows_C, np.log1p(popularity_C))
            return _popular_items(snapshot, request, rows_C[places])
        with self._metrics.stage("route"):
            scores_C = _scores(snapshot, taste.vector_VMD, rows_C)
        with self._metrics.stage("rank"):
            places = _ranked_places(snapshot, request, rows_C, scores_C)
        best_rows, best_scores = rows_C[places], scores_C[places]
        breakdown = None
        if request.explain != "none" and len(places):
            with self._metrics.stage("explain"):
                breakdown = snapshot.scorer.explain(taste.vector_VMD, best_rows)
        return _scored_items(snapshot, request, taste, scored=(best_rows, best_scores, breakdown))


def _eligible(
    snapshot: Snapshot, request: RecommendationRequest, excluded: list[Rows]
) -> tuple[Rows, list[str], list[str]]:
    """Rows that pass every filter, unknown ids, and warnings."""
    items = snapshot.items
    rows, missing = items.rows(request.exclude)
    only: list[Rows] = []
    warnings: list[str] = []
    if request.candidates is not None:
        candidate_rows, unknown = items.rows(request.candidates)
        only.append(candidate_rows)
        missing += unknown
    if request.categories:
        only.append(items.rows_in_any(request.categories))
        unheard = [name for name in request.categories if name not in items.rows_of_category]
        warnings += [f"no item is in category {name!r}" for name in unheard]
    rows_C = eligible_rows(len(items), np.concatenate([rows, *excluded]), *only)
    return rows_C, missing, warnings


def _hidden_ids(snapshot: Snapshot, request: RecommendationRequest, hidden_rows: Rows) -> list[str]:
    """Candidates that are left out because nobody may be shown them."""
    if request.candidates is None or not len(hidden_rows):
        return []
    rows, _ = snapshot.items.rows(request.candidates)
    return [snapshot.items.ids[row] for row in rows[np.isin(rows, hidden_rows)]]


def _scores(snapshot: Snapshot, user_VMD: Vectors, rows_C: Rows) -> NDArray[np.float32]:
    # Gathering copies the vectors: worth it only when it spares most of the catalogue.
    if 2 * len(rows_C) < len(snapshot.items):
        return snapshot.scorer.score(user_VMD, rows_C)
    return snapshot.scorer.score(user_VMD)[rows_C]


def _ranked_places(
    snapshot: Snapshot, request: RecommendationRequest, rows_C: Rows, scores_C: NDArray[np.floating]
) -> Rows:
    """Places in `rows_C` of the answer's items, in its order."""
    if request.diversity == 0:
        return top_places(scores_C, request.offset, request.k)
    wanted = request.offset + request.k
    best = top_places(scores_C, 0, max(wanted, POOL))
    pool = best[:POOL]
    vector_PF = snapshot.items.embeddings_IVMD[rows_C[pool]].reshape(len(pool), -1)
    order = diversified(scores_C[pool], vector_PF, request.diversity, wanted)
    return np.concatenate([pool[order], best[POOL:]])[request.offset : wanted]


def _popular_items(
    snapshot: Snapshot, request: RecommendationRequest, rows_C: Rows
) -> list[RecommendedItem]:
    items: list[RecommendedItem] = []
    for place, row in enumerate(rows_C):
        popularity = int(snapshot.items.popularity_I[row])
        items.append(
            RecommendedItem(
                item_id=snapshot.items.ids[row],
                title=snapshot.items.title(row),
                rank=request.offset + place + 1,
                score=popularity,
                bias=popularity,
                source="popular",
                reasons=[f"Popular: {popularity} interactions in the training data"],
                experts=None,
            )
        )
    return items


def _scored_items(
    snapshot: Snapshot,
    request: RecommendationRequest,
    taste: Taste,
    *,
    scored: tuple[Rows, NDArray[np.float32], Breakdown | None],
) -> list[RecommendedItem]:
    rows_C, scores_C, breakdown = scored
    items: list[RecommendedItem] = []
    for place, row in enumerate(rows_C):
        item = RecommendedItem(
            item_id=snapshot.items.ids[row],
            title=snapshot.items.title(row),
            rank=request.offset + place + 1,
            score=plain(scores_C[place]),
            bias=plain(snapshot.items.bias_I[row]),
            source=taste.source,
            reasons=[],
            experts=None,
        )
        items.append(
            item if breakdown is None else _explained(snapshot, request, item, breakdown, place)
        )
    return items


def _explained(
    snapshot: Snapshot,
    request: RecommendationRequest,
    item: RecommendedItem,
    breakdown: Breakdown,
    place: int,
) -> RecommendedItem:
    manifest = snapshot.manifest
    contribution_KVM = breakdown.contribution_CKVM[place]
    modalities = by_modality(manifest, contribution_KVM)
    reasons = [sentence_case(largest_parts(modalities, item.bias))]
    if item.source == "session":
        reasons.append("Judged by the session's items alone")
    full = request.explain == "full"
    return item.model_copy(
        update={
            "reasons": reasons,
            "experts": active_experts(manifest, breakdown.weight_CK[place], contribution_KVM),
            "by_modality": modalities if full else None,
            "by_view": by_view(manifest, contribution_KVM) if full else None,
        }
    )
