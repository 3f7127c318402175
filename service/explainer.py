"""Explains one user-item pair, whether the item would be recommended or not.

Knows the order of the steps; the arithmetic is in `explanation`. Knows nothing about HTTP.

Letters: I items, H history length, V views, M modalities, D dimension, K experts.
"""

from functools import partial

import numpy as np
from anyio import CapacityLimiter, to_thread

from service.errors import UnknownItem, UnknownUser, UserUnavailable
from service.explanation import (
    Weights,
    by_modality,
    by_modality_and_view,
    by_view,
    expert_details,
    gate_entropy,
    history_evidence,
    largest_parts,
    plain,
    sentence_case,
)
from service.foldin import Vectors, history_rows
from service.metrics import Metrics
from service.ranking import eligible_rows, rank_of
from service.schemas import ExpertDetail, Explanation, HistoryEvidence
from service.snapshot import Snapshot
from service.taste import UserLookup, look_up

MAX_EVIDENCE = 5
"""History items named in one explanation."""


class PairExplainer:
    """Answers from whatever snapshot it is handed."""

    def __init__(self, *, metrics: Metrics, limiter: CapacityLimiter) -> None:
        self._metrics = metrics
        self._limiter = limiter

    async def explain(self, snapshot: Snapshot, user_id: str, item_id: str) -> Explanation:
        """Take the score of one pair apart; UnknownUser, UnknownItem, UserUnavailable."""
        row = snapshot.items.ids.row(item_id)
        if row is None:
            raise UnknownItem(f"item {item_id!r} is not in model version {snapshot.version}")
        with self._metrics.stage("lookup"):
            user = await look_up(snapshot, user_id)
        if user.state == "unavailable":
            raise UserUnavailable(f"{user.trouble}; try again")
        if user.vector_VMD is None:
            raise UnknownUser(
                f"{user.trouble}, so there is no score to explain; for a new user send "
                "session_items to POST /v1/recommendations"
            )
        work = partial(self._explain, snapshot, user_id, (user, user.vector_VMD), row)
        return await to_thread.run_sync(work, limiter=self._limiter)

    def _explain(
        self, snapshot: Snapshot, user_id: str, user: tuple[UserLookup, Vectors], row: int
    ) -> Explanation:
        lookup, user_VMD = user
        manifest, items = snapshot.manifest, snapshot.items
        with self._metrics.stage("route"):
            scores_I = snapshot.scorer.score(user_VMD)
        with self._metrics.stage("rank"):
            others_I = eligible_rows(len(items), np.append(lookup.seen_N, row))
            ranked_C = np.sort(np.append(others_I, row))
            place, scores_C = int(np.searchsorted(ranked_C, row)), scores_I[ranked_C]
            rank = rank_of(place, scores_C)
        with self._metrics.stage("explain"):
            breakdown = snapshot.scorer.explain(user_VMD, np.array([row]))
            weight_K = breakdown.weight_CK[0]
            contribution_KVM = breakdown.contribution_CKVM[0]
            history = _history(snapshot, lookup, row, contribution_KVM)
            without_CK = scores_C[:, None] - snapshot.scorer.by_expert(user_VMD, ranked_C)
            rank_without_K = [rank_of(place, without_C) for without_C in without_CK.T]
        modalities = by_modality(manifest, contribution_KVM)
        experts = expert_details(manifest, weight_K, contribution_KVM, rank_without_K)
        bias = plain(items.bias_I[row])
        words = f"rank {rank} of {len(ranked_C)}: {largest_parts(modalities, bias)}"
        return Explanation(
            model_version=snapshot.version,
            user_id=user_id,
            item_id=items.ids[row],
            title=items.title(row),
            score=plain(scores_I[row]),
            bias=bias,
            rank=rank,
            ranked_items=len(ranked_C),
            seen=bool(np.isin(row, lookup.seen_N)),
            experts=experts,
            by_modality=modalities,
            by_view=by_view(manifest, contribution_KVM),
            matrix=by_modality_and_view(manifest, contribution_KVM),
            gate_entropy=gate_entropy(weight_K),
            history=history,
            sentence=_sentence(words, experts[0], history),
        )


def _history(
    snapshot: Snapshot, user: UserLookup, row: int, contribution_KVM: Weights
) -> list[HistoryEvidence]:
    """The history items that speak most for the item; the item itself is no evidence for it."""
    items, rows_H = snapshot.items, user.history_H
    weighted_HVMD = history_rows(items.foldin_IVMD, rows_H, snapshot.manifest.recency_power)
    parts_H = history_evidence(items.embeddings_IVMD[row], weighted_HVMD, contribution_KVM)
    parts_H = np.where((parts_H > 0) & (rows_H != row), parts_H, 0.0)
    total = parts_H.sum()
    best = [place for place in np.argsort(-parts_H, kind="stable")[:MAX_EVIDENCE] if parts_H[place]]
    return [
        HistoryEvidence(
            item_id=items.ids[rows_H[place]],
            title=items.title(rows_H[place]),
            contribution=plain(parts_H[place]),
            share=plain(parts_H[place] / total),
        )
        for place in best
    ]


def _sentence(words: str, largest: ExpertDetail, history: list[HistoryEvidence]) -> str:
    sentence = f"{sentence_case(words)}."
    if largest.contribution > 0:
        sentence += f" The expert that adds most is {largest.name}."
    if history:
        names = ", ".join(evidence.title or evidence.item_id for evidence in history[:3])
        sentence += f" In the user's history, these speak for it most: {names}."
    return sentence
