"""Evidence: what each item of a history adds to scores, and which of them a reason names.

A score holds, per view and modality, a contribution that is proportional to the similarity of user
and item: their cosine and, in the first view and modality, the item-item score. A user's direction
is that of the sum of the history's weighted rows f_h and of the free part, so the cosine is linear
in the items, and so is the item-item score. The part of item h is the contribution times its share
of the similarity, <f_h, item> / |sum of f| plus its part of the item-item score. The parts of all
items of the history and of the free part add up to the score less its bias and points (ours).

Letters: R items of a list, N of these that are shown, H items of the histories, P pairs of an item
and one of the histories, X named items, V views, M modalities, G = V * M channels, D dimension.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.runtime.item_item import Floats, recency_shares
from model.runtime.profile import History, Profile, ProfileMaker
from model.runtime.top_k import Rows

NAMED = 3
"""Most items of a history that a reason names."""
_USUAL = 0.6
"""Of what an item of a history says in the mean: so much of it is no reason for one item."""
_DAMPING = 0.2
"""Of the usual size of what is left, added to that of each item of a history. Both were chosen on
MovieLens-100K and planted clusters (docs/explanations.md): with less damping what is named is of
the wrong cluster more often, with more one item leads more reasons."""
_LEAST_SIMILARITY = np.float32(1e-6)
"""Below it the quotient of contribution and similarity is rounding noise."""
_LEAST_VARIANCE = 1e-10
"""Below it items do not differ in what the history says for them."""
_TINY = np.float32(1e-30)

Source = tuple[Profile, Sequence[History]]
"""A profile and the histories that it is made of, which have an equal say; each is oldest first."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tellers:
    """The items of histories that may be named, and what makes points of their products."""

    rows_H: Rows
    """Oldest first."""
    foldin_HGD: Floats
    share_H: Floats
    inverse_G: Floats
    """What makes parts of cosines of products with fold-in rows, times shares."""
    item_item_RH: Floats
    """What each adds to the item-item score of each item of the list."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """What the items of histories add to the scores of a list's items, in points."""

    tellers: Tellers
    points_RH: Floats
    item_item_RH: Floats
    """The item-item model's part of them."""
    scaled_RGD: Floats
    """Products with fold-in rows, times their shares, are the other part."""

    def by_channel(self, place_P: Rows, column_P: Rows) -> Floats:
        """What some items of the history say for one item of the list each, by channel [P, G]."""
        foldin_PGD = self.tellers.foldin_HGD.take(column_P, axis=0)
        product_PG: Floats = np.einsum(
            "pgd,pgd->pg", foldin_PGD, self.scaled_RGD.take(place_P, axis=0)
        )
        product_PG *= self.tellers.share_H.take(column_P)[:, None]
        product_PG[:, 0] += self.item_item_RH[place_P, column_P]
        return product_PG


def evidence(
    maker: ProfileMaker,
    items_RVMD: Floats,
    source: Source,
    rows_R: Rows,
    contribution_NG: Floats,
    newest: int | None = None,
) -> Evidence:
    """What the items of a profile's histories add to the scores of a list's items.

    Contributions are known for the first N items of the list. For those beyond, a similarity is
    taken to add what it adds to these in the mean.

    Args:
        maker: has made the profile.
        items_RVMD: the list's items.
        source: the profile, and the histories that it is made of.
        rows_R: of the items; none twice.
        contribution_NG: of experts together, by the graph.
        newest: so many items of each history speak; None for all.
    """
    profile, histories = source
    item_RGD, (user_GD,) = _channels(items_RVMD), _channels(profile.vector_VMD[None])
    length_G = np.sqrt(np.einsum("gd,gd->g", user_GD, user_GD))
    per_length_G: Floats = 1 / np.maximum(length_G, _TINY)
    num_shown = len(contribution_NG)
    similarity_NG: Floats = np.einsum("ngd,gd->ng", item_RGD[:num_shown], user_GD) * per_length_G
    similarity_NG[:, 0] += profile.item_item.at(rows_R[:num_shown])
    similarity_NG[np.abs(similarity_NG) <= _LEAST_SIMILARITY] = np.inf
    scale_NG: Floats = contribution_NG / similarity_NG
    scale_RG: Floats = scale_NG
    if len(rows_R) > num_shown:
        mean_1G: Floats = scale_NG.mean(axis=0, keepdims=True)
        scale_RG = np.concatenate([scale_NG, mean_1G.repeat(len(rows_R) - num_shown, axis=0)])
    told = [
        _tellers(maker, history_H, said.parts(rows_R, newest or len(history_H)), per_length_G)
        for history_H, said in zip(histories, profile.said, strict=True)
    ]
    teller = told[0] if len(told) == 1 else _joined(told)
    item_item_RH: Floats = teller.item_item_RH * scale_RG[:, :1]
    scaled_RGD: Floats = item_RGD * (scale_RG * teller.inverse_G)[..., None]
    flat_RF, flat_HF = (
        x.reshape(len(x), scaled_RGD[0].size) for x in (scaled_RGD, teller.foldin_HGD)
    )
    points_RH: Floats = flat_RF @ flat_HF.T
    points_RH *= teller.share_H
    points_RH += item_item_RH
    return Evidence(
        tellers=teller, points_RH=points_RH, item_item_RH=item_item_RH, scaled_RGD=scaled_RGD
    )


def _tellers(
    maker: ProfileMaker, history_H: History, item_item_RH: Floats, per_length_G: Floats
) -> Tellers:
    """The newest items of one history: those that the item-item parts are of."""
    share_H = recency_shares(len(history_H), maker.recency_power)
    foldin_HGD = _channels(maker.foldin_IVMD.take(history_H, axis=0))
    total_G = share_H @ np.sqrt(np.einsum("hgd,hgd->hg", foldin_HGD, foldin_HGD))
    first = len(history_H) - item_item_RH.shape[1]
    return Tellers(
        rows_H=history_H[first:].astype(np.intp),
        foldin_HGD=foldin_HGD[first:],
        share_H=share_H[first:],
        inverse_G=per_length_G / np.maximum(total_G, _TINY),
        item_item_RH=item_item_RH,
    )


def _joined(told: Sequence[Tellers]) -> Tellers:
    """Those of several histories. An item that is in several speaks once, for all of them."""
    rows_H = np.concatenate([each.rows_H for each in told])
    foldin_HGD = np.concatenate(
        [
            each.foldin_HGD * (each.share_H[:, None] * each.inverse_G / len(told))[..., None]
            for each in told
        ]
    )
    item_item_RH = np.concatenate([each.item_item_RH for each in told], axis=1)
    item_item_RH /= len(told)
    last: dict[int, int] = {}
    for column, row in enumerate(rows_H.tolist()):
        if row in last:
            for part_H in (foldin_HGD, item_item_RH.T):
                part_H[column] += part_H[last[row]]
                part_H[last[row]] = 0
        last[row] = column
    return Tellers(
        rows_H=rows_H,
        foldin_HGD=foldin_HGD,
        share_H=np.ones(len(rows_H), dtype=np.float32),
        inverse_G=np.ones_like(told[0].inverse_G),
        item_item_RH=item_item_RH,
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Named:
    """Items of the histories that reasons name, the most telling first."""

    column_NX: Rows
    share_NX: Floats
    """Of all that those add who speak for the item; 0 where nobody is named."""
    above_NX: Floats
    """How far that is above what they say usually, in units of its size."""


def named(found: Evidence, rows_R: Rows, num_shown: int) -> Named:
    """Who is named for the first N items of the list: who says most above what they say usually.

    Ours. From points most of the mean is taken that the same item of the history gives to the R
    items of the list. What is left is divided by its size, the root of its mean square over these.
    A part of the usual size over all items of the history is added to the divisor, as Tusher et al.
    do (SAM, PNAS 2001, equation 1), so that none is named that hardly says anything. Where a list's
    items do not differ, points decide. Only what adds to a score is named for it, and no item is
    named for itself.
    """
    points_RH, rows_H = found.points_RH, found.tellers.rows_H
    num_items, num_tellers = points_RH.shape
    shown_NH = points_RH[:num_shown]
    usual_H = np.full(num_items, 1 / num_items, dtype=np.float32) @ points_RH
    variance_H = np.einsum("rh,rh->h", points_RH, points_RH) / np.float32(num_items)
    variance_H -= usual_H * usual_H
    np.maximum(variance_H, 0, out=variance_H)
    above_NH = shown_NH
    if variance_H.sum() > _LEAST_VARIANCE:
        variance_H += ((1 - _USUAL) * usual_H) ** 2
        damping = _DAMPING * math.sqrt(float(variance_H.sum()) / num_tellers)
        above_NH = (shown_NH - np.float32(_USUAL) * usual_H) / (
            np.sqrt(variance_H) + np.float32(damping)
        )
    silent_NH = shown_NH <= 0
    silent_NH |= rows_R[:num_shown, None] == rows_H
    against_NH = np.where(silent_NH, np.float32(np.inf), -above_NH)
    column_NX = np.argsort(against_NH, axis=1)[:, :NAMED]
    speaking_NH = np.where(silent_NH, np.float32(0), shown_NH)
    total_N1 = speaking_NH @ np.ones((num_tellers, 1), dtype=np.float32)
    place_N1 = np.arange(num_shown)[:, None]
    return Named(
        column_NX=column_NX,
        share_NX=speaking_NH[place_N1, column_NX] / np.maximum(total_N1, _TINY),
        above_NX=-against_NH[place_N1, column_NX],
    )


def _channels(rows_NVMD: Floats) -> Floats:
    """The same memory as [N, G, D]."""
    return rows_NVMD.reshape(len(rows_NVMD), -1, rows_NVMD.shape[-1])
