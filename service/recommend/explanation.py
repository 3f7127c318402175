"""A score taken apart, in numbers and in words that are true to them.

Pure: numbers in, parts of an answer out. Knows nothing about where scores come from.

Letters: N items, P parts of a score, H history length, V views, M modalities, D dimension,
K experts, A pairs of an item and an expert that is active for it.
"""

# FOLDED service/recommend/explanation.py: With which items an explained one is compared to tell its rank: all, or enough of them.
#
#   Ranking one item without each expert takes every score apart. Beyond some size that is done for the
#   best items and for a random sample that stands for the rest, and the answer says so. Knows rows;
#   knows nothing about why an item is explained.
#
#   Letters: C items compared, I items.
#
# FOLDED service/recommend/explanation.py: Explains one item for a user or a session, whether it would be recommended or not.
#
#   Knows the order of the steps; the arithmetic is in `explanation`. Knows nothing about HTTP.
#
#   Letters: C items compared, H items of all histories, V views, M modalities, K experts.
#

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray

from model.artifact.manifest import ArtifactManifest
from model.runtime.fold_in import Vectors
from model.runtime.profile import Profile
from model.runtime.top_k import Rows
from service.ops.metrics import Metrics
from service.recommend.context import Taste, UserLookup, choose_taste, look_up
from service.retrieval.query import Eligible, Query, Retriever
from service.schemas.errors import RequestRefused, UnknownItem, UnknownUser, UserUnavailable
from service.schemas.requests import ExplanationRequest
from service.schemas.responses import (
    ExpertContribution,
    ExpertDetail,
    Explanation,
    HistoryEvidence,
    Source,
)
from service.serving.served import Served
from service.serving.snapshot import Snapshot

COMPARED_WITH_ALL = 50_000
"""Largest catalogue of which every item is taken apart: a tenth of a second."""
_BEST = 1_000
"""Items compared for certain: ranks among them are exact but for what the retriever misses."""
_SAMPLED = 8_192
"""Items that stand for the rest: a rank in the middle is right within some 2 % of the catalogue."""
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

    def rank(self, place: int, scores_C: NDArray[np.float32]) -> int:
        """The rank, from 1, of the item at `place`; of equals, the lower row is better."""
        better_C = scores_C > scores_C[place]
        better_C[:place] |= scores_C[:place] == scores_C[place]
        return 1 + round(float(self.weight_C[better_C].sum()))


def compared_with(
    retriever: Retriever, profile: Profile, eligible: Eligible, row: int
) -> Comparison:
    """What to rank the item at `row` among: the eligible items, and itself in any case."""
    if eligible.num_items <= COMPARED_WITH_ALL:
        rows_C = np.union1d(eligible.rows(), row)
        weight_C = np.ones(len(rows_C))
        return Comparison(rows_C=rows_C, weight_C=weight_C, is_exact=True, num_items=len(rows_C))
    best = retriever.best([Query(profile, eligible, _BEST)])[0].rows
    certain = np.union1d(best, row)
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
    )


BIAS_PARTS = ("popularity", "newness")
"""What the bias of a score is called: of items that somebody has chosen, and of others."""


_KEPT_WORDS = 1_024
"""Of a name and a percentage: written once, not for every item."""


Weights = NDArray[np.float32]


def plain(number: float) -> float:
    """A float32 as a short decimal: seven places, as many as it has."""
    return round(float(number), 7)


def plain_numbers(numbers: NDArray[np.floating]) -> list[Any]:
    """All of them as `plain` makes them, in lists as deep as the array."""
    rounded: list[Any] = np.round(numbers.astype(np.float64), 7).tolist()
    return rounded


def active_experts(
    manifest: ArtifactManifest, weight_NK: Weights, contribution_NK: Weights
) -> list[list[ExpertContribution]]:
    """Of each item the experts with a weight above zero, largest contribution first."""
    item_A, expert_A = np.nonzero(weight_NK > 0)
    weight_A, contribution_A = weight_NK[item_A, expert_A], contribution_NK[item_A, expert_A]
    order_A = np.lexsort((-weight_A, -contribution_A, item_A))
    specs = [(spec.name, spec.role, spec.modality) for spec in manifest.experts]
    experts: list[ExpertContribution] = [
        {
            "name": name,
            "role": role,
            "modality": modality,
            "weight": weight,
            "contribution": contribution,
        }
        for (name, role, modality), weight, contribution in zip(
            map(specs.__getitem__, expert_A[order_A].tolist()),
            plain_numbers(weight_A[order_A]),
            plain_numbers(contribution_A[order_A]),
            strict=True,
        )
    ]
    ends_N = np.bincount(item_A, minlength=len(weight_NK)).cumsum().tolist()
    return [experts[start:end] for start, end in pairwise([0, *ends_N])]


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


def by_modality(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each modality adds to the score."""
    totals_M = contribution_KVM.sum(axis=(0, 1))
    return dict(zip(manifest.modalities, map(plain, totals_M.tolist()), strict=True))


def by_view(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each view adds to the score."""
    totals_V = contribution_KVM.sum(axis=(0, 2))
    return dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))


def by_modality_and_view(
    manifest: ArtifactManifest, contribution_VM: Weights
) -> dict[str, dict[str, float]]:
    """What each modality adds to the score through each view, of one expert or of all together."""
    return {
        modality: dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))
        for modality, totals_V in zip(manifest.modalities, contribution_VM.T, strict=True)
    }


def gate_entropy(weight_K: Weights) -> float:
    """Entropy of the experts' weights over log K: 0 if one decides, 1 if all have an equal say."""
    if len(weight_K) == 1:
        return 0.0
    positive = weight_K[weight_K > 0].astype(np.float64)
    return plain(max(0.0, -float((positive * np.log(positive)).sum()) / math.log(len(weight_K))))


def bias_parts(bias_N: Weights, popularity_N: NDArray[np.int64]) -> Weights:
    """Each bias in the column [N, 2] of what it is, see `BIAS_PARTS`."""
    chosen_N = popularity_N > 0
    return np.column_stack([bias_N * chosen_N, bias_N * ~chosen_N])


def largest_parts(names: Sequence[str], part_NP: NDArray[np.floating]) -> list[str]:
    """Words for the one or two largest parts of each score above zero.

    Shares are of the parts above zero, since what speaks against an item is no part of why it is
    here; the second part is named if it is at least a fifth. Of a score of zero or less, only what
    speaks against it most is named.

    Args:
        names: of the P parts, two at least.
        part_NP: in points of the score.
    """
    order_NP = np.argsort(-part_NP, axis=1, kind="stable")
    sorted_NP = np.take_along_axis(part_NP, order_NP, axis=1)
    total_N = np.maximum(sorted_NP, 0).sum(axis=1)
    against_N = -np.minimum(sorted_NP, 0).sum(axis=1)
    share_N2 = sorted_NP[:, :2].astype(np.float64) / np.where(total_N > 0, total_N, 1)[:, None]
    percent_N2 = np.rint(100 * share_N2).astype(np.intp)
    found: list[str] = []
    for order, percents, mostly, has_second, speaks_for in zip(
        order_NP.tolist(),
        percent_N2.tolist(),
        (share_N2[:, 0] >= 0.5).tolist(),
        (share_N2[:, 1] >= 0.2).tolist(),
        (total_N > against_N).tolist(),
        strict=True,
    ):
        if not speaks_for:
            found.append(_against(names[order[-1]]))
            continue
        words = _first(names[order[0]], percents[0], mostly)
        found.append(words + _second(names[order[1]], percents[1]) if has_second else words)
    return found


def _against(name: str) -> str:
    return f"no more speaks for it than against it; {name} least of all"


@lru_cache(_KEPT_WORDS)
def _first(name: str, percent: int, mostly: bool) -> str:
    return f"{'mostly' if mostly else 'led by'} {name} ({percent} % of what speaks for it)"


@lru_cache(_KEPT_WORDS)
def _second(name: str, percent: int) -> str:
    return f", then {name} ({percent} %)"


def sentence_case(words: str) -> str:
    """`words` with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]


def history_evidence(
    item_VMD: Vectors,
    foldin_HVMD: Vectors,
    neighbourhood_H: NDArray[np.float32],
    contribution_KVM: Weights,
) -> NDArray[np.float64]:
    """What each history item adds to the score of one item [H], in points of the score.

    Ours. A score holds, per view and modality, a contribution that is proportional to the
    similarity of user and item: their cosine, plus the neighbourhood in the first of both. A user's
    direction is that of the sum of her history's weighted rows f_h, linear in its items, and so is
    her neighbourhood. The part of item h is the contribution times its share of the similarity,
    <f_h, item> / |sum of f| and its part of the neighbourhood, and the parts add up to the score
    less its bias.

    Args:
        item_VMD: rows of unit length, or zero.
        foldin_HVMD: what each item adds to the user's vector, by `ProfileMaker.taken_apart`.
        neighbourhood_H: what each item adds to the neighbourhood, by the same.
        contribution_KVM: of the pair, by the graph.
    """
    part_HVM = np.einsum("hvmd,vmd->hvm", foldin_HVMD, item_VMD, dtype=np.float64)
    length_VM = np.linalg.norm(foldin_HVMD.sum(axis=0, dtype=np.float64), axis=-1)
    part_HVM /= np.where(length_VM > 0, length_VM, 1)
    part_HVM[:, 0, 0] += neighbourhood_H
    similarity_VM = part_HVM.sum(axis=0)
    contribution_VM = contribution_KVM.sum(axis=0, dtype=np.float64)
    scale_VM = np.divide(
        contribution_VM,
        similarity_VM,
        out=np.zeros_like(contribution_VM),
        where=np.abs(similarity_VM) > 1e-6,  # below it the quotient is rounding noise
    )
    parts_H: NDArray[np.float64] = (part_HVM * scale_VM).sum(axis=(1, 2))
    return parts_H


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
