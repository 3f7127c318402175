"""Explains one item for a user or a session, whether it would be recommended or not.

Knows the order of the steps; the arithmetic is in `explanation`. Knows nothing about HTTP.

Letters: C items compared, H items of all histories, V views, M modalities, K experts.
"""

from functools import partial

import numpy as np
from anyio import CapacityLimiter, to_thread

from service.comparison import compared_with
from service.eligible import Eligible
from service.errors import RequestRefused, UnknownItem, UnknownUser, UserUnavailable
from service.explanation import (
    BIAS_PARTS,
    Weights,
    bias_parts,
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
from service.metrics import Metrics
from service.requests import ExplanationRequest
from service.schemas import ExpertDetail, Explanation, HistoryEvidence, Source
from service.snapshot import Snapshot
from service.taste import Taste, UserLookup, choose_taste, look_up
from service.variants import Served

MAX_EVIDENCE = 5
"""History items named in one explanation."""


class PairExplainer:
    """Answers from whatever model it is handed."""

    def __init__(self, *, metrics: Metrics, limiter: CapacityLimiter) -> None:
        self._metrics = metrics
        self._limiter = limiter

    async def explain(self, served: Served, request: ExplanationRequest) -> Explanation:
        """Take the score of one pair apart; UnknownUser, UnknownItem, UserUnavailable."""
        snapshot = served.snapshot
        row = snapshot.items.ids.row(request.item_id)
        if row is None:
            raise UnknownItem(
                f"item {request.item_id!r} is not in model version {snapshot.version}"
            )
        with served.tally.attempt():
            with self._metrics.stage("lookup"):
                user = await look_up(snapshot, request.user_id)
            work = partial(self._explain, served, request, user, row)
            return await to_thread.run_sync(work, limiter=self._limiter)

    def _explain(
        self, served: Served, request: ExplanationRequest, user: UserLookup, row: int
    ) -> Explanation:
        snapshot = served.snapshot
        manifest, items = snapshot.manifest, snapshot.items
        session_rows, missing = items.rows(request.session_items)
        taste = choose_taste(
            snapshot.profiles, user, session_rows, session_given=bool(request.session_items)
        )
        profile = taste.profile
        if profile is None:
            raise _nobody(user)
        recent_rows, _ = items.rows(user.recent_ids)
        known_rows = np.concatenate([user.seen_N, session_rows, recent_rows])
        left_out = np.concatenate([known_rows, user.hidden_rows])
        with self._metrics.stage("retrieve"):
            eligible = Eligible(len(items), left_out)
            others = compared_with(snapshot.retriever, profile, eligible, row)
            scores_C = snapshot.scorer.score(profile, others.rows_C)
        place = int(np.searchsorted(others.rows_C, row))
        rank = others.rank(place, scores_C)
        with self._metrics.stage("explain"):
            breakdown = snapshot.scorer.explain(profile, np.array([row]))
            weight_K = breakdown.weight_CK[0]
            contribution_KVM = breakdown.contribution_CKVM[0]
            without_CK = scores_C[:, None] - snapshot.scorer.by_expert(profile, others.rows_C)
            rank_without_K = [others.rank(place, without_C) for without_C in without_CK.T]
            history = _history(snapshot, taste, row, contribution_KVM)
        modalities = by_modality(manifest, contribution_KVM)
        experts = expert_details(manifest, weight_K, contribution_KVM, rank_without_K)
        bias = plain(items.bias_I[row])
        (of_bias,) = bias_parts(items.bias_I[[row]], items.popularity_I[[row]])
        (parts,) = largest_parts(
            [*modalities, *BIAS_PARTS], np.array([[*modalities.values(), *of_bias]])
        )
        about = "" if others.is_exact else "about "
        words = f"rank {about}{rank} of {others.num_items}: {parts}"
        return Explanation(
            model_version=snapshot.version,
            variant=served.variant,
            user_id=request.user_id,
            source=taste.source,
            warnings=taste.warnings,
            missing_ids=missing,
            item_id=items.ids[row],
            title=items.title(row),
            score=plain(scores_C[place]),
            bias=bias,
            rank=rank,
            ranked_items=others.num_items,
            ranks_are_estimates=not others.is_exact,
            seen=bool(np.isin(row, known_rows)),
            available=not np.isin(row, user.hidden_rows),
            experts=experts,
            by_modality=modalities,
            by_view=by_view(manifest, contribution_KVM),
            matrix=by_modality_and_view(manifest, contribution_KVM.sum(axis=0)),
            gate_entropy=gate_entropy(weight_K),
            history=history,
            sentence=_sentence(words, experts[0], history, taste.source),
        )


def _nobody(user: UserLookup) -> RequestRefused:
    """There is no taste to explain a score by."""
    if user.state == "unavailable":
        return UserUnavailable(f"{user.trouble}; try again")
    if user.state == "not_asked":
        return UnknownItem("no session item says anything to the model: there is no score")
    return UnknownUser(
        f"{user.trouble}, so there is no score to explain; send session_items to POST /v1/explain"
    )


def _history(
    snapshot: Snapshot, taste: Taste, row: int, contribution_KVM: Weights
) -> list[HistoryEvidence]:
    """The items of history and session that speak most for the item, itself left out."""
    items = snapshot.items
    rows_H = np.concatenate(taste.histories)
    foldin_HVMD, neighbourhood_H = snapshot.profiles.taken_apart(taste.histories, row)
    parts_H = history_evidence(
        items.embeddings_IVMD[row], foldin_HVMD, neighbourhood_H, contribution_KVM
    )
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


def _sentence(
    words: str, largest: ExpertDetail, history: list[HistoryEvidence], source: Source
) -> str:
    sentence = f"{sentence_case(words)}."
    if largest["contribution"] > 0:
        sentence += f" The expert that adds most is {largest['name'].replace('_', ' ')}."
    if history:
        names = "; ".join(evidence["title"] or evidence["item_id"] for evidence in history[:3])
        whose = "session" if source == "session" else "user's history"
        sentence += f" In the {whose}, these speak for it most: {names}."
    return sentence
