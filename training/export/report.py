"""The report of a model: figures of its routing, its lists and its items.

Letters: U users, I items, L places of a list, K experts, M modalities, S items drawn, Q groups,
D dimension.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.artifact.report import (
    MOST_BYTES,
    DrawnItem,
    ExpertMap,
    ExpertPlace,
    ItemMap,
    ModelReport,
    Peak,
    Tail,
)
from model.artifact.tables import IdTable, StringTable
from model.runtime.artifact import ArtifactScorer

LENGTH = 20
"""Places of a list."""
USERS = 1000
"""Whose lists are made, if the catalogue is not large."""
_MOST_PAIRS = 20_000_000
"""Users times items that are scored for the report of an export: some ten seconds."""
_LEAST_USERS = 20
_BLOCK_PAIRS = 2_000_000
"""Users times items scored at once: 8 MB of scores."""
POPULARITY_GROUPS = 10
"""Groups of equally many items."""
ACTIVITY_GROUPS = 5
"""Groups of about equally many users."""
MOST_CATEGORIES = 7
"""One colour each, and one is left for the others."""
OTHERS = "others"
"""Categories beyond these, and none."""
MOST_POINTS = 1_000
"""Items that are drawn; more would hide each other."""
_LONGEST_TITLE = 80
IDLE = 0.1
"""An expert that stays below this, in units of an even share, in every group serves nobody."""
_DIGITS = 4

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What some users are shown, and the experts' weights in it."""

    users_U: Rows
    items_UL: Rows
    """Best first; what the user has seen is left out, as in serving."""
    weight_ULK: Numbers
    """The router's weights; they sum to 1 over K."""


def make_lists(
    scorer: ArtifactScorer,
    num_users: int,
    seed: int,
    on_users: Callable[[int, int], object] = lambda _done, _of: None,
) -> Lists:
    """The lists that are served to users with a history, at most `num_users` drawn by seed.

    After each block `on_users` is told how many users are done, and of how many.
    """
    num_items, num_outputs = scorer.tensors["item_routing"].shape
    known_U = np.flatnonzero(scorer.tensors["history_lengths"])
    users_U = np.sort(np.random.default_rng(seed).permutation(known_U)[:num_users])
    length = min(LENGTH, num_items)
    items_UL = np.empty((len(users_U), length), dtype=np.int64)
    weight_ULK = np.empty((len(users_U), length, num_outputs - 1))
    step = max(1, _BLOCK_PAIRS // num_items)
    for start in range(0, len(users_U), step):
        block = slice(start, start + step)
        users = users_U[block].tolist()
        profiles = [scorer.user(user) for user in users]
        items_UL[block] = scorer.top(profiles, length, [scorer.seen(user) for user in users])
        found = scorer.scorer.explain_all(profiles, items_UL[block])
        weight_ULK[block] = [each.weight_CK for each in found]
        on_users(min(start + step, len(users_U)), len(users_U))
    return Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK)


def find(
    tensors: Mapping[str, NDArray[Any]],
    experts: Sequence[str],
    modalities: Sequence[str],
    lists: Lists,
    seed: int,
) -> ModelReport:
    """The figures of an artifact's tensors and of some users' lists.

    Args:
        tensors: of the artifact.
        experts: their names.
        modalities: their names.
        lists: at least one.
        seed: of the items drawn.
    """
    popularity_I = np.asarray(tensors["item_popularity"])
    rank_I = np.empty(len(popularity_I), dtype=np.int64)
    rank_I[np.argsort(-popularity_I, kind="stable")] = np.arange(len(popularity_I))
    tenth_I = rank_I * POPULARITY_GROUPS // len(popularity_I)
    activity_U = tensors["history_lengths"][lists.users_U]
    order_U = np.argsort(np.argsort(activity_U, kind="stable"), kind="stable")
    fifth_U = order_U * ACTIVITY_GROUPS // len(order_U)
    metadata = StringTable(tensors["item_metadata_blob"], tensors["item_metadata_offsets"])
    first_I, categories = _categories(metadata)
    maps = [
        _expert_map(
            "history",
            [_span(activity_U[fifth_U == q]) for q in range(ACTIVITY_GROUPS)],
            np.broadcast_to(fifth_U[:, None], lists.items_UL.shape),
            lists,
        ),
        _expert_map(
            "popularity",
            [_span(popularity_I[tenth_I == q]) for q in range(POPULARITY_GROUPS)],
            tenth_I[lists.items_UL],
            lists,
        ),
    ]
    if categories:
        maps.append(_expert_map("category", categories, first_I[lists.items_UL], lists))
    ids = IdTable(tensors["item_ids_blob"], tensors["item_ids_offsets"])
    drawn_S = np.random.default_rng(seed).permutation(len(popularity_I))[:MOST_POINTS]
    return ModelReport(
        users=len(lists.users_U),
        length=lists.items_UL.shape[1],
        experts=_expert_places(experts, lists, maps),
        maps=maps,
        tail=_tail(lists, tenth_I, popularity_I),
        categories=categories,
        items=[
            DrawnItem(
                item_id=ids[row],
                title=str(json.loads(metadata[row]).get("title") or ids[row])[:_LONGEST_TITLE],
                category=int(first_I[row]) if categories else None,
            )
            for row in drawn_S.tolist()
        ],
        item_maps=[
            plane(name, tensors["item_embeddings"][drawn_S, :, m].mean(axis=1))
            for m, name in enumerate(modalities)
        ],
    )


def report_file(scorer: ArtifactScorer, experts: Sequence[str], modalities: Sequence[str]) -> bytes:
    """The report of what is being exported, see `as_file`; of fewer users if items are many."""
    affordable = _MOST_PAIRS // len(scorer.tensors["item_bias"])
    lists = make_lists(scorer, max(_LEAST_USERS, min(USERS, affordable)), seed=0)
    return as_file(find(scorer.tensors, experts, modalities, lists, seed=0))


def as_file(report: ModelReport) -> bytes:
    """The report as JSON of at most `MOST_BYTES`; with long ids, fewer items are drawn."""
    written = report.model_dump_json().encode()
    while len(written) > MOST_BYTES:
        report = _with_items(report, len(report.items) // 2)
        written = report.model_dump_json().encode()
    return written


def _with_items(report: ModelReport, count: int) -> ModelReport:
    maps = [
        each.model_copy(update={"x": each.x[:count], "y": each.y[:count]})
        for each in report.item_maps
    ]
    return report.model_copy(update={"items": report.items[:count], "item_maps": maps})


def _expert_map(
    by: Literal["history", "popularity", "category"],
    groups: list[str],
    group_UL: Rows,
    lists: Lists,
) -> ExpertMap:
    places_Q = np.bincount(group_UL.ravel(), minlength=len(groups))
    weight_QK = np.zeros((len(groups), lists.weight_ULK.shape[-1]))
    np.add.at(weight_QK, group_UL, lists.weight_ULK)
    weight_QK /= np.maximum(places_Q, 1)[:, None]
    return ExpertMap(
        by=by, groups=groups, places=places_Q.tolist(), weight=weight_QK.round(_DIGITS).tolist()
    )


def _expert_places(
    names: Sequence[str], lists: Lists, maps: Sequence[ExpertMap]
) -> list[ExpertPlace]:
    share_K = len(names) * lists.weight_ULK.mean(axis=(0, 1))
    leader_N = lists.weight_ULK.argmax(axis=2).ravel()
    leads_K = np.bincount(leader_N, minlength=len(names)) / len(leader_N)

    def peak(found: ExpertMap, k: int) -> Peak:
        q = max(range(len(found.groups)), key=lambda q: found.weight[q][k])
        share = round(len(names) * found.weight[q][k], _DIGITS)
        return Peak(group=found.groups[q], share=share)

    def place(k: int, name: str) -> ExpertPlace:
        most = [peak(found, k) for found in maps]
        return ExpertPlace(
            expert=name,
            leads=round(float(leads_K[k]), _DIGITS),
            share=round(float(share_K[k]), _DIGITS),
            most=most,
            idle=all(each.share < IDLE for each in most),
        )

    return [place(k, name) for k, name in enumerate(names)]


def _tail(lists: Lists, tenth_I: Rows, popularity_I: NDArray[np.int64]) -> Tail:
    places_I = np.bincount(lists.items_UL.ravel(), minlength=len(tenth_I))
    ascending_I = np.sort(places_I)
    rank_I = np.arange(1, len(ascending_I) + 1)
    gini = float(((2 * rank_I - len(rank_I) - 1) * ascending_I).sum())
    gini /= len(rank_I) * ascending_I.sum()

    def share(count_I: NDArray[np.int64]) -> list[float]:
        total_Q = np.bincount(tenth_I, weights=count_I, minlength=POPULARITY_GROUPS)
        return [round(each, _DIGITS) for each in (total_Q / max(1, count_I.sum())).tolist()]

    return Tail(
        interactions=share(popularity_I),
        places=share(places_I),
        covered=round(float((places_I > 0).mean()), _DIGITS),
        gini=round(gini, _DIGITS),
    )


def plane(modality: str, row_SD: NDArray[np.float32]) -> ItemMap:
    """The first two principal components, both by one scale."""
    centred_SD = np.asarray(row_SD - row_SD.mean(axis=0), dtype=np.float64)
    left_SN, strength_N, _ = np.linalg.svd(centred_SD, full_matrices=False)
    point_S2 = np.zeros((len(row_SD), 2))
    count = min(2, len(strength_N))
    point_S2[:, :count] = left_SN[:, :count] * strength_N[:count]
    point_S2 = (point_S2 / max(float(np.abs(point_S2).max()), 1e-12)).round(3)
    kept = (strength_N[:2] ** 2).sum() / max(float((strength_N**2).sum()), 1e-12)
    return ItemMap(
        modality=modality,
        variance=round(float(kept), _DIGITS),
        x=point_S2[:, 0].tolist(),
        y=point_S2[:, 1].tolist(),
    )


def _categories(metadata: Iterable[str]) -> tuple[Rows, list[str]]:
    """Each item's first category among the commonest ones or the others, as an index; all names."""
    firsts = [next(iter(json.loads(text).get("categories", ())), None) for text in metadata]
    counted = Counter(name for name in firsts if name is not None)
    names = [name for name, _ in counted.most_common(MOST_CATEGORIES)]
    place = {name: index for index, name in enumerate(names)}
    first_I = np.array([place.get(name, len(names)) for name in firsts], dtype=np.int64)
    return first_I, [*names, OTHERS] if names and first_I.max() == len(names) else names


def _span(values: NDArray[np.integer]) -> str:
    if len(values) == 0:
        return "none"
    least, most = int(min(values)), int(max(values))
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
