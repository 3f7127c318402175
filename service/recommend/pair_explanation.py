"""Explains one item for a user or a session, whether it would be recommended or not.

Letters: C items compared, H items of all histories, V views, M modalities, D dimension, K experts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray

from model.artifact.manifest import ArtifactManifest
from model.runtime.evidence import ListedItems, evidence
from model.runtime.profile import Profile
from model.runtime.top_k import Rows, top_places
from service.ops.metrics import Metrics
from service.recommend.adjustments import listed, sum_of_points
from service.recommend.because import COMPARED, VERBS, because, in_words
from service.recommend.dislikes import of_dislikes
from service.recommend.explanation import (
    BIAS_PARTS,
    Weights,
    bias_parts,
    largest_parts,
    largest_words,
    named,
    plain,
    plain_numbers,
    sentence_case,
)
from service.recommend.live import live_items
from service.recommend.resolution import (
    ProfileChoice,
    bias,
    check_modalities,
    choose_profile,
    item_row,
    known_rows,
    num_used,
    read_user,
    status_of,
)
from service.recommend.rules import apply_rules, check_rules
from service.retrieval.query import Eligible, Floats, Query, Retriever
from service.schemas.errors import RequestRefused, UnknownItem, UnknownUser, UserUnavailable
from service.schemas.requests import ExplanationRequest
from service.schemas.responses import Adjustment, ExpertDetail, Explanation, HistoryEvidence, Source
from service.schemas.rules import NO_RULES, Rules
from service.schemas.warned import Warned, told
from service.serving.labels import display_name
from service.serving.served import Served
from service.serving.snapshot import Snapshot
from service.store.users import UserState

MAX_EVIDENCE = 5
"""History items named in one explanation."""
COMPARED_WITH_ALL = 50_000
"""Largest catalogue of which every item is taken apart: a tenth of a second."""
_BEST = 1_000
"""Items compared for certain: ranks among them are exact but for what the retriever misses."""
_SAMPLED = 8_192
"""Items that stand for the rest: a rank in the middle is right within some 2 % of the catalogue."""
_WHOSE: Mapping[Source, str] = {"session": "session", "live": "user's latest events"}
_SEED = 0
"""The same sample for every request, so that one pair has one rank within a model version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Items that one item is ranked among, itself included."""

    rows_C: Rows
    """Ascending."""
    weight_C: NDArray[np.float64]
    """How many items each stands for."""
    is_exact: bool
    num_items: int
    """How many all of them stand for."""
    warnings: tuple[Warned, ...] = ()
    """See `Ranked`."""

    def rank(self, place: int, scores_C: NDArray[np.float32]) -> int:
        """The rank, from 1, of the item at `place`; of equals, the lower row is better."""
        better_C = scores_C > scores_C[place]
        better_C[:place] |= scores_C[:place] == scores_C[place]
        return 1 + round(float(self.weight_C[better_C].sum()))


def compared_with(
    retriever: Retriever,
    profile: Profile,
    eligible: Eligible,
    row: int,
    points_I: Floats | None = None,
) -> Comparison:
    """What to rank the item at `row` among: itself, and the eligible items or enough of them.

    Ranking one item without each expert takes every score apart. In a large catalogue the best
    items and a random sample stand for all.
    """
    if eligible.num_items <= COMPARED_WITH_ALL:
        rows_C = np.union1d(eligible.rows(), row)
        weight_C = np.ones(len(rows_C))
        return Comparison(rows_C=rows_C, weight_C=weight_C, is_exact=True, num_items=len(rows_C))
    best = retriever.best([Query(profile, eligible, _BEST, points_I)])[0]
    certain = np.union1d(best.rows, row)
    drawn = np.random.default_rng(_SEED).choice(eligible.num_items, 2 * _SAMPLED, replace=False)
    rest = eligible.without(certain)
    sample = rest.among(drawn)[:_SAMPLED]
    rows_C = np.concatenate([certain, sample])
    weight_C = np.ones(len(rows_C))
    weight_C[len(certain) :] = len(rest) / max(1, len(sample))
    order = np.argsort(rows_C)
    return Comparison(
        rows_C=rows_C[order],
        weight_C=weight_C[order],
        is_exact=False,
        num_items=len(rest) + len(certain),
        warnings=best.warnings,
    )


async def explain_pair(
    served: Served, request: ExplanationRequest, metrics: Metrics, limiter: CapacityLimiter
) -> Explanation:
    """Take the score of one pair apart; UnknownUser, UnknownItem, UserUnavailable.

    InvalidRequest, if the boosts do not fit the attributes.
    """
    row = item_row(served.snapshot, request.item_id)
    check_rules(served.snapshot.items, Rules(boosts=request.boosts))
    check_modalities(served.snapshot, request.without_modalities)
    with served.statistics.attempt():
        with metrics.stage("lookup"):
            user = await read_user(served.snapshot, request.user_id)
        work = partial(_explain, served, request, user, row, metrics)
        return await to_thread.run_sync(work, limiter=limiter)


def _explain(
    served: Served, request: ExplanationRequest, user: UserState, row: int, metrics: Metrics
) -> Explanation:
    snapshot = served.snapshot
    manifest, items, scorer = snapshot.manifest, snapshot.items, snapshot.scorer
    session_rows, missing = items.rows(request.session_items)
    live = live_items(snapshot, user)
    choice = choose_profile(
        snapshot.profiles, user, session_rows, live, session_given=bool(request.session_items)
    ).without(request.without_modalities, snapshot)
    profile = choice.profile
    if profile is None:
        raise _nothing_scored(user)
    known = known_rows(user, live, session_rows)
    rules = apply_rules(
        items,
        Rules(boosts=request.boosts),
        user.default_rules if request.default_rules else NO_RULES,
        hidden_rows=user.hidden_rows,
    )
    adjustments = [*rules.boosts, *of_dislikes(snapshot, live)]
    popular_I = choice.popularity(snapshot)
    points_I = sum_of_points(adjustments, popular_I)
    with metrics.stage("retrieve"):
        out = np.concatenate([known, user.hidden_rows])
        eligible = Eligible(len(items), out, within_I=rules.within_I)
        others = compared_with(snapshot.retriever, profile, eligible, row, points_I)
        scores_C = scorer.score(profile, others.rows_C)
        if points_I is not None:
            scores_C += points_I[others.rows_C]
    place = int(np.searchsorted(others.rows_C, row))
    rank = others.rank(place, scores_C)
    with metrics.stage("explain"):
        rows_R = _compared(others, scores_C, place)
        bias_R = bias(snapshot, popular_I, rows_R)
        breakdown = scorer.explain(profile, rows_R)
        weight_K, contribution_KVM = breakdown.weight_CK[0], breakdown.contribution_CKVM[0]
        reasons = because(
            snapshot,
            [ListedItems(rows_R, profile, choice.histories)],
            [VERBS[choice.source]],
            breakdown.contribution_CKVM.sum(axis=1).reshape(1, len(rows_R), -1),
            bias_R[None],
        )
        named_in, sentences = in_words(snapshot.items, reasons)
        without_CK = scores_C[:, None] - scorer.by_expert(profile, others.rows_C)
        rank_without_K = [others.rank(place, without_C) for without_C in without_CK.T]
        history, beyond_history = _history(snapshot, choice, profile, row, contribution_KVM)
    by_modality = named(manifest.modalities, contribution_KVM.sum(axis=(0, 1)).tolist())
    experts = expert_details(manifest, weight_K, contribution_KVM, rank_without_K)
    (of_bias,) = bias_parts(bias_R[:1], items.popularity_I[[row]])
    (code,) = largest_parts(np.array([[*by_modality.values(), *of_bias]]))
    parts = largest_words((*by_modality, *BIAS_PARTS), int(code))
    (adjusted,) = listed(adjustments, np.array([row]))
    about = "" if others.is_exact else "about "
    words = f"rank {about}{rank} of {others.num_items}: {parts}"
    return Explanation(
        model_version=snapshot.version,
        variant=served.variant,
        user_id=request.user_id,
        source=choice.source,
        live_events=num_used(live, user, choice),
        **told([*choice.warnings, *rules.warnings, *others.warnings]),
        missing_ids=missing,
        item_id=items.ids[row],
        title=items.title(row),
        score=plain(scores_C[place]),
        bias=plain(bias_R[0]),
        rank=rank,
        ranked_items=others.num_items,
        ranks_are_estimates=not others.is_exact,
        seen=row in known,
        available=row not in user.hidden_rows,
        experts=experts,
        adjustments=adjusted,
        by_modality=by_modality,
        by_view=named(manifest.views, contribution_KVM.sum(axis=(0, 2)).tolist()),
        matrix=by_modality_and_view(manifest, contribution_KVM.sum(axis=0)),
        reason=sentences[0],
        because=named_in[0],
        gate_entropy=gate_entropy(weight_K),
        history=history,
        beyond_history=beyond_history,
        sentence=_sentence(words, experts[0], history, choice.source) + _moved(adjusted),
    )


def _compared(others: Comparison, scores_C: Floats, place: int) -> Rows:
    """The item at `place`, then the best others: a list's reasons compare its items with these."""
    best = top_places(scores_C, 0, COMPARED)
    return others.rows_C[[place, *best[best != place][: COMPARED - 1]]]


def _nothing_scored(user: UserState) -> RequestRefused:
    """Why neither the user nor the session has a profile to explain a score by."""
    status, fault = status_of(user)
    if status == "unavailable":
        return UserUnavailable(f"{fault}; try again")
    if status == "not_asked":
        return UnknownItem("the model can use none of the session items, so there is no score")
    return UnknownUser(
        f"{fault}, so there is no score to explain; send session_items to POST /v1/explain"
    )


def _history(
    snapshot: Snapshot, choice: ProfileChoice, profile: Profile, row: int, contribution_KVM: Weights
) -> tuple[list[HistoryEvidence], float]:
    """The items of history and session that add most to the item, itself left out.

    Then what the user's free part adds to the score.
    """
    items = snapshot.items
    if not any(map(len, choice.histories)):
        return [], plain(contribution_KVM.sum())
    contribution_1G = contribution_KVM.sum(axis=0).reshape(1, -1)
    found = evidence(
        snapshot.profiles,
        items.embeddings_IVMD,
        [ListedItems(np.array([row]), profile, choice.histories)],
        contribution_1G[None],
    )
    rows_H, parts_H = found.rows_BH[0], found.points_BRH[0, 0]
    beyond = contribution_1G.sum() - parts_H.sum() if choice.source == "model" else 0.0
    parts_H = np.where((parts_H > 0) & (rows_H != row), parts_H, 0.0)
    total = parts_H.sum()
    best = [place for place in np.argsort(-parts_H, kind="stable")[:MAX_EVIDENCE] if parts_H[place]]
    listed_items = [
        HistoryEvidence(
            item_id=items.ids[rows_H[place]],
            title=items.title(rows_H[place]),
            contribution=plain(parts_H[place]),
            share=plain(parts_H[place] / total),
        )
        for place in best
    ]
    return listed_items, plain(beyond)


def _sentence(
    words: str, largest: ExpertDetail, history: list[HistoryEvidence], source: Source
) -> str:
    sentence = f"{sentence_case(words)}."
    if largest["contribution"] > 0:
        sentence += f" The expert that contributes most is {largest['name'].replace('_', ' ')}."
    if history:
        names = "; ".join(display_name(each["title"] or each["item_id"]) for each in history[:3])
        whose = _WHOSE.get(source, "user's history")
        sentence += f" The items of the {whose} that contribute most: {names}."
    return sentence


def _moved(adjusted: Sequence[Adjustment]) -> str:
    """What else has moved the item, in words."""
    boosts = [each for each in adjusted if each["kind"] == "boost"]
    dislikes = sorted((x["points"], x["name"]) for x in adjusted if x["kind"] == "dislike")
    words = ""
    if boosts:
        points = sum(each["points"] for each in boosts)
        words += f" Rules add {points:+.2f}: {'; '.join(each['name'] for each in boosts)}."
    if dislikes:
        names = "; ".join(display_name(name) for _, name in dislikes[:3])
        words += f" It is ranked lower because of dislikes: {names}."
    return words


def expert_details(
    manifest: ArtifactManifest,
    weight_K: Weights,
    contribution_KVM: Weights,
    rank_without_K: Sequence[int],
) -> list[ExpertDetail]:
    """Every expert, largest contribution first, then largest weight."""
    details = [
        ExpertDetail(
            name=spec.name,
            role=spec.role,
            modality=spec.modality,
            weight=weight,
            contribution=contribution,
            usual_weight=spec.usual_weight,
            rank_without=rank_without,
            matrix=by_modality_and_view(manifest, contribution_VM),
        )
        for spec, weight, contribution, rank_without, contribution_VM in zip(
            manifest.experts,
            plain_numbers(weight_K),
            plain_numbers(contribution_KVM.sum(axis=(1, 2))),
            rank_without_K,
            contribution_KVM,
            strict=True,
        )
    ]
    return sorted(details, key=lambda expert: (-expert["contribution"], -expert["weight"]))


def by_modality_and_view(
    manifest: ArtifactManifest, contribution_VM: Weights
) -> dict[str, dict[str, float]]:
    """What each modality adds to the score through each view, of one expert or of all together."""
    return {
        modality: named(manifest.views, totals_V.tolist())
        for modality, totals_V in zip(manifest.modalities, contribution_VM.T, strict=True)
    }


def gate_entropy(weight_K: Weights) -> float:
    """Entropy of the experts' weights over log K: 0 if one decides, 1 if all have an equal say."""
    if len(weight_K) == 1:
        return 0.0
    positive = weight_K[weight_K > 0].astype(np.float64)
    return plain(max(0.0, -float((positive * np.log(positive)).sum()) / math.log(len(weight_K))))
