"""What an artifact has learnt, as numbers and as one HTML page.

The page shows where each expert leads, which experts serve which users and items, what lists show
of the long tail, and where items lie.

Letters: U users, I items, L places of a list, K experts, M modalities, S items drawn, Q groups.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from model.artifact.files import Artifact
from model.artifact.manifest import ArtifactManifest
from model.artifact.tables import StringTable
from model.runtime.artifact import ArtifactScorer
from training.reporting import pages
from training.reporting.charts import COLOURS, draw_points

LENGTH = 20
"""Places of a list."""
_BLOCK_PAIRS = 2_000_000
"""Users times items scored at once: 8 MB of scores."""


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
    artifact: Artifact, num_users: int, seed: int, on_users: Callable[[int, int], None]
) -> Lists:
    """The lists that are served to users with a history, at most `num_users` drawn by seed.

    After each block `on_users` is told how many users are done, and of how many.
    """
    tensors = artifact.tensors
    known_U = np.flatnonzero(tensors["history_lengths"])
    users_U = np.sort(np.random.default_rng(seed).permutation(known_U)[:num_users])
    length = min(LENGTH, artifact.manifest.num_items)
    scorer = ArtifactScorer.of(artifact)
    items_UL = np.empty((len(users_U), length), dtype=np.int64)
    weight_ULK = np.empty((len(users_U), length, len(artifact.manifest.experts)))
    step = max(1, _BLOCK_PAIRS // artifact.manifest.num_items)
    for start in range(0, len(users_U), step):
        block = slice(start, start + step)
        users = users_U[block].tolist()
        profiles = [scorer.user(user) for user in users]
        items_UL[block] = scorer.top(profiles, length, [scorer.seen(user) for user in users])
        found = scorer.scorer.explain_all(profiles, items_UL[block])
        weight_ULK[block] = [each.weight_CK for each in found]
        on_users(min(start + step, len(users_U)), len(users_U))
    return Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK)


POPULARITY_GROUPS = 10
"""Groups of equally many items."""
ACTIVITY_GROUPS = 5
"""Groups of about equally many users."""
MOST_CATEGORIES = 7
"""One colour each, and one is left for the others."""
_SEEN, _SHOWN = COLOURS[-1], COLOURS[0]
OTHERS = "others"
"""Categories beyond these, and none."""
MOST_POINTS = 2_000
"""Items that are drawn; more would hide each other."""


IDLE = 0.1
"""An expert that stays below this, in units of an even share, in every group serves nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertMap:
    """Mean routing weight of every expert over the places of some lists, by group."""

    title: str
    groups: tuple[str, ...]
    places_Q: Rows
    """Places of lists in each group; a group without any has weights of zero."""
    weight_QK: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertPlace:
    """Where one expert weighs most; shares are in units of an even share, 1 / K."""

    expert: str
    leads: float
    """Share of the places of lists where its weight is the largest."""
    share: float
    """Over all places."""
    most: tuple[tuple[str, float], ...]
    """By map: the group where its share is largest, and that share."""

    @property
    def idle(self) -> bool:
        """Whether it serves nobody."""
        return all(share < IDLE for _, share in self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What lists show of the long tail, by tenths of the catalogue, most popular first."""

    interactions_Q: Numbers
    """Share of the interactions in training."""
    places_Q: Numbers
    """Share of the places of lists."""
    covered: float
    """Share of the catalogue in at least one list."""
    gini: float
    """Of the items' numbers of places: 0 if all are shown equally often, near 1 if few are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingMap:
    """Some items in the plane that keeps most of their variance, by one modality."""

    modality: str
    variance: float
    """Share of the variance that the plane keeps."""
    point_S2: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a model report shows."""

    users: int
    maps: tuple[ExpertMap, ...]
    experts: tuple[ExpertPlace, ...]
    tail: Tail
    embeddings: tuple[EmbeddingMap, ...]
    category_S: Rows
    """Index into `categories` of the items that are drawn."""
    categories: tuple[str, ...]
    """The commonest, and `OTHERS` if there are such items; none if items have no categories."""


def find(artifact: Artifact, lists: Lists, seed: int) -> Findings:
    """The figures of an artifact and of some users' lists; the seed is of the items drawn."""
    tensors = artifact.tensors
    popularity_I = np.asarray(tensors["item_popularity"])
    rank_I = np.empty(len(popularity_I), dtype=np.int64)
    rank_I[np.argsort(-popularity_I, kind="stable")] = np.arange(len(popularity_I))
    tenth_I = rank_I * POPULARITY_GROUPS // len(popularity_I)
    activity_U = tensors["history_lengths"][lists.users_U]
    order_U = np.argsort(np.argsort(activity_U, kind="stable"), kind="stable")
    fifth_U = order_U * ACTIVITY_GROUPS // len(order_U)
    first_I, categories = _categories(artifact)
    shown_S = np.random.default_rng(seed).permutation(len(popularity_I))[:MOST_POINTS]
    maps = [
        _expert_map(
            "By length of the user's history in interactions, shortest first",
            tuple(_span(activity_U[fifth_U == q]) for q in range(ACTIVITY_GROUPS)),
            np.broadcast_to(fifth_U[:, None], lists.items_UL.shape),
            lists,
        ),
        _expert_map(
            "By the item's interactions in training, in tenths of the catalogue",
            tuple(_span(popularity_I[tenth_I == q]) for q in range(POPULARITY_GROUPS)),
            tenth_I[lists.items_UL],
            lists,
        ),
    ]
    if categories:
        first_UL = first_I[lists.items_UL]
        maps.append(_expert_map("By category of the item", categories, first_UL, lists))
    return Findings(
        users=len(lists.users_U),
        maps=tuple(maps),
        experts=_expert_places([x.name for x in artifact.manifest.experts], lists, maps),
        tail=_tail(lists, tenth_I, popularity_I),
        embeddings=tuple(
            _plane(name, tensors["item_embeddings"][shown_S, :, m].mean(axis=1))
            for m, name in enumerate(artifact.manifest.modalities)
        ),
        category_S=first_I[shown_S],
        categories=categories,
    )


def _expert_map(title: str, groups: tuple[str, ...], group_UL: Rows, lists: Lists) -> ExpertMap:
    places_Q = np.bincount(group_UL.ravel(), minlength=len(groups))
    weight_QK = np.zeros((len(groups), lists.weight_ULK.shape[-1]))
    np.add.at(weight_QK, group_UL, lists.weight_ULK)
    weight_QK /= np.maximum(places_Q, 1)[:, None]
    return ExpertMap(title=title, groups=groups, places_Q=places_Q, weight_QK=weight_QK)


def _expert_places(
    names: Sequence[str], lists: Lists, maps: Sequence[ExpertMap]
) -> tuple[ExpertPlace, ...]:
    share_K = len(names) * lists.weight_ULK.mean(axis=(0, 1))
    leader_N = lists.weight_ULK.argmax(axis=2).ravel()
    leads_K = np.bincount(leader_N, minlength=len(names)) / len(leader_N)
    return tuple(
        ExpertPlace(
            expert=name,
            leads=float(leads_K[k]),
            share=float(share_K[k]),
            most=tuple(
                (x.groups[q], float(len(names) * x.weight_QK[q, k]))
                for x in maps
                for q in [int(x.weight_QK[:, k].argmax())]
            ),
        )
        for k, name in enumerate(names)
    )


def _tail(lists: Lists, tenth_I: Rows, popularity_I: NDArray[np.int64]) -> Tail:
    places_I = np.bincount(lists.items_UL.ravel(), minlength=len(tenth_I))
    ascending_I = np.sort(places_I)
    rank_I = np.arange(1, len(ascending_I) + 1)
    gini = float(((2 * rank_I - len(rank_I) - 1) * ascending_I).sum())
    gini /= len(rank_I) * ascending_I.sum()

    def share(count_I: NDArray[np.int64]) -> Numbers:
        total_Q = np.bincount(tenth_I, weights=count_I, minlength=POPULARITY_GROUPS)
        return np.asarray(total_Q / max(1, count_I.sum()))

    return Tail(
        interactions_Q=share(popularity_I),
        places_Q=share(places_I),
        covered=float((places_I > 0).mean()),
        gini=gini,
    )


def _plane(modality: str, row_SD: NDArray[np.float32]) -> EmbeddingMap:
    fitted = PCA(n_components=2, svd_solver="full")
    point_S2 = fitted.fit_transform(row_SD).astype(np.float32)
    kept = np.nan_to_num(fitted.explained_variance_ratio_).sum()
    return EmbeddingMap(modality=modality, variance=float(kept), point_S2=point_S2)


def _categories(artifact: Artifact) -> tuple[Rows, tuple[str, ...]]:
    """Each item's first category among the commonest ones or the others, as an index; all names."""
    table = StringTable(
        artifact.tensors["item_metadata_blob"], artifact.tensors["item_metadata_offsets"]
    )
    firsts = [next(iter(json.loads(text).get("categories", ())), None) for text in table]
    counted = Counter(name for name in firsts if name is not None)
    names = tuple(name for name, _ in counted.most_common(MOST_CATEGORIES))
    place = {name: index for index, name in enumerate(names)}
    first_I = np.array([place.get(name, len(names)) for name in firsts], dtype=np.int64)
    return first_I, (*names, OTHERS) if names and first_I.max() == len(names) else names


def _span(values: Sequence[int] | NDArray[np.integer]) -> str:
    if len(values) == 0:
        return "none"
    least, most = int(min(values)), int(max(values))
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def render(manifest: ArtifactManifest, findings: Findings) -> str:
    """The page."""
    swatches = [
        COLOURS[-1] if name == OTHERS else COLOURS[place]
        for place, name in enumerate(findings.categories)
    ]
    colour_S = [swatches[place] if swatches else COLOURS[0] for place in findings.category_S]
    return pages.render(
        Path(__file__).with_name("model_report.html.j2"),
        manifest=manifest,
        findings=findings,
        length=LENGTH,
        experts=_expert_rows(findings),
        idle=[_spoken(x.expert) for x in findings.experts if x.idle],
        tail=_tail_rows(findings.tail),
        tail_key=[("interactions in training", _SEEN), ("places in lists", _SHOWN)],
        embeddings=[
            (x, draw_points(f"Items by {x.modality}", x.point_S2, colour_S))
            for x in findings.embeddings
        ],
        categories=list(zip(findings.categories, swatches, strict=True)),
    )


def _expert_rows(findings: Findings) -> list[list[str]]:
    """Experts, the largest share first."""
    return [
        [
            f"{_spoken(x.expert)} (idle)" if x.idle else _spoken(x.expert),
            *(f"{group}: {share:.2f}" for group, share in x.most),
            f"{x.leads:.0%}",
            f"{x.share:.2f}",
        ]
        for x in sorted(findings.experts, key=lambda x: -x.share)
    ]


def _spoken(expert: str) -> str:
    return expert.replace("_", " ")


def _tail_rows(tail: Tail) -> list[tuple[str, list[tuple[float, str, str]]]]:
    """Two bars per tenth: what was chosen in training, and what lists show."""
    longest = max(float(tail.interactions_Q.max()), float(tail.places_Q.max()), 1e-9)
    return [
        (
            f"{10 * q} to {10 * (q + 1)} % of items",
            [
                (share_Q[q] / longest, f"{share_Q[q]:.1%}", colour)
                for share_Q, colour in ((tail.interactions_Q, _SEEN), (tail.places_Q, _SHOWN))
            ],
        )
        for q in range(POPULARITY_GROUPS)
    ]
