"""Evidence: what each item of a history adds to scores, and which of them a reason names.

A score holds, per view and modality, a contribution that is proportional to the similarity of user
and item: their cosine and, in the first view and modality, the item-item score. A user's direction
is that of the sum of the history's weighted rows f_h and of the free part, so the cosine is linear
in the items, and so is the item-item score. The part of item h is the contribution times its share
of the similarity, <f_h, item> / |sum of f| plus its part of the item-item score. The parts of all
items of the history and of the free part add up to the score less its bias and points (ours).

A reason names the items whose part is largest above its mean over the items of the list, in
units of its standard deviation over these (ours). A twentieth of the usual deviation is added to
the divisor, as Tusher et al. do (SAM, PNAS 2001, equation 1), so that none is named that adds
nearly the same to all. Where a list's items do not differ, points decide. No item is named for
itself, nor one that adds less than a twenty-fifth of all parts above zero.

Lists of one length are worked on together. Arrays are as wide as the longest history; where others
have ended, nothing is added.

Letters: B lists, R items of a list, N of these that are shown, Q histories of all lists, H items of
a history or of those of a list, P pairs of an item of a list and one of its histories, X named
items, V views, M modalities, G = V * M channels, D dimension.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.runtime.grown import Grown, GrownRows
from model.runtime.half import Base
from model.runtime.item_item import Floats, HistoryScores, dense_parts, recency_shares
from model.runtime.native.kernels import kernels
from model.runtime.native.reasons import (
    NAMED,
    EvidenceInputs,
    TopEvidence,
    Vectors,
    find_top_evidence,
)
from model.runtime.profile import History, Profile, ProfileMaker
from model.runtime.top_k import Rows

NEWEST = 50
"""Items of a history that can be named. Work grows with them, and of late ones people know."""
LEAST_SHARE = np.float32(0.04)
"""Of all parts above zero: an item that adds less is not named."""
_DAMPING = np.float32(0.05)
"""Of the usual deviation. Both were chosen on MovieLens-100K and planted clusters
(docs/explanations.md): with less damping, items of the wrong cluster are named more often; with
more of either, one item leads more reasons."""
_LEAST_SIMILARITY = np.float32(1e-6)
"""Below it the quotient of contribution and similarity is rounding noise."""
_LEAST_VARIANCE = np.float32(1e-10)
"""Below it items do not differ in what the history adds to them."""
_NO_ITEM = -1
"""The row of an item of a history that is not there."""
_TINY = np.float32(1e-15)
"""Instead of a length of zero; the product of two is still above zero."""
_LEAST = (
    float(LEAST_SHARE),
    float(_DAMPING),
    float(_LEAST_SIMILARITY),
    float(_LEAST_VARIANCE),
)
_MOST_AGAINST_X = np.array([np.inf, 0, 0], dtype=np.float32)
"""Items beside the first are named only if their part is above its mean."""


@dataclass(frozen=True, slots=True, eq=False)
class ListedItems:
    """The items of a list, and the histories that their scores are made of."""

    rows_R: Rows
    """None twice; those that are shown first."""
    profile: Profile
    histories: Sequence[History]
    """Those that the profile is made of, with equal weight; each is oldest first, and has no
    item twice."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """What the items of histories add to the scores of lists, in points."""

    rows_BR: Rows
    rows_BH: Rows
    """The items of the histories; `_NO_ITEM` where a list has no more. One that is in two of them
    stands once, for both."""
    points_BRH: Floats
    item_item_BRH: Floats
    """The item-item model's part of them."""
    scaled_BRGD: Floats
    foldin_BHGD: Floats
    """Products of these two, times the share, are the other part."""
    share_BH: Floats

    def by_channel(self, list_P: Rows, place_P: Rows, column_P: Rows) -> Floats:
        """What some items of the histories add to one item of a list each, by channel [P, G]."""
        product_PG: Floats = np.vecdot(
            self.scaled_BRGD[list_P, place_P], self.foldin_BHGD[list_P, column_P]
        )
        product_PG *= self.share_BH[list_P, column_P, None]
        product_PG[:, 0] += self.item_item_BRH[list_P, place_P, column_P]
        return product_PG


def evidence(
    maker: ProfileMaker,
    items_IVMD: Grown,
    lists: Sequence[ListedItems],
    contribution_BNG: Floats,
    newest: int | None = None,
) -> Evidence:
    """What the items of histories add to the scores of the items of some lists.

    Contributions are known for the first N items of each list. For those beyond, a similarity is
    taken to add what it adds to these in the mean.

    Args:
        maker: has made the profiles.
        items_IVMD: embeddings of all items.
        lists: equally long; each has a history that is not empty.
        contribution_BNG: of experts together, by the graph.
        newest: so many items of each history count; None for all.
    """
    rows_BR = np.array([each.rows_R for each in lists])
    history = _history_items(maker, lists, rows_BR, newest or sys.maxsize)
    item_BRGD = _channels(items_IVMD.take(rows_BR, axis=0))
    user_BGD = _channels(np.array([each.profile.vector_VMD for each in lists]))
    length_BG = np.maximum(np.sqrt(np.vecdot(user_BGD, user_BGD)), _TINY)
    user_BGD /= length_BG[..., None]
    scale_BRG = _scale(lists, item_BRGD, user_BGD, contribution_BNG)
    item_item_BRH = history.part_BRH
    item_item_BRH *= scale_BRG[..., :1]
    scale_BRG /= (length_BG * history.total_BG)[:, None]
    item_BRGD *= scale_BRG[..., None]
    points_BRH = _rows(item_BRGD) @ _rows(history.foldin_BHGD).transpose(0, 2, 1)
    points_BRH *= history.share_BH[:, None]
    points_BRH += item_item_BRH
    return Evidence(
        rows_BR=rows_BR,
        rows_BH=history.rows_BH,
        points_BRH=points_BRH,
        item_item_BRH=item_item_BRH,
        scaled_BRGD=item_BRGD,
        foldin_BHGD=history.foldin_BHGD,
        share_BH=history.share_BH,
    )


def _scale(
    lists: Sequence[ListedItems], item_BRGD: Floats, user_BGD: Floats, contribution_BNG: Floats
) -> Floats:
    """What a similarity of one adds to scores, in points [B, R, G]."""
    num_shown, num_items = contribution_BNG.shape[1], item_BRGD.shape[1]
    cosine_BGN = item_BRGD[:, :num_shown].transpose(0, 2, 1, 3) @ user_BGD[..., None]
    similarity_BNG = cosine_BGN[..., 0].transpose(0, 2, 1)
    similarity_BNG[..., 0] += np.array(
        [each.profile.item_item.at(each.rows_R[:num_shown]) for each in lists]
    )
    similarity_BNG[np.abs(similarity_BNG) <= _LEAST_SIMILARITY] = np.inf
    scale_BNG: Floats = contribution_BNG / similarity_BNG
    if num_shown == num_items:
        return scale_BNG
    mean_B1G: Floats = scale_BNG.mean(axis=1, keepdims=True)
    beyond_BRG = mean_B1G.repeat(num_items - num_shown, axis=1)
    return np.concatenate([scale_BNG, beyond_BRG], axis=1)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Named:
    """Items of the histories that reasons name, strongest first."""

    column_BNX: Rows
    share_BNX: Floats
    """Of all parts above zero; 0 where none is named."""


def named(found: Evidence, num_shown: int) -> Named:
    """The items that reasons name for the first N items of each list, see above."""
    points_BRH, num_items = found.points_BRH, found.points_BRH.shape[1]
    mean_BH = np.full(num_items, 1 / num_items, dtype=np.float32) @ points_BRH
    below_BRH = mean_BH[:, None] - points_BRH
    variance_BH = np.einsum("brh,brh->bh", below_BRH, below_BRH) / np.float32(num_items)
    variance_B1 = variance_BH.sum(axis=1, keepdims=True)
    size_B1 = (found.rows_BH != _NO_ITEM).sum(axis=1, keepdims=True, dtype=np.float32)
    unit_BH = np.sqrt(variance_BH) + _DAMPING * np.sqrt(variance_B1 / size_B1)
    against_BNH = below_BRH[:, :num_shown]
    against_BNH /= np.maximum(unit_BH, _TINY)[:, None]
    shown_BNH = points_BRH[:, :num_shown]
    is_flat_B = variance_B1[:, 0] <= _LEAST_VARIANCE
    if is_flat_B.any():
        against_BNH[is_flat_B] = -shown_BNH[is_flat_B]
    positive_BNH = np.maximum(shown_BNH, 0)
    is_itself_BNH = found.rows_BR[:, :num_shown, None] == found.rows_BH[:, None]
    if is_itself_BNH.any():
        positive_BNH[is_itself_BNH] = 0
    total_BN1 = positive_BNH @ np.ones((shown_BNH.shape[2], 1), dtype=np.float32)
    np.maximum(total_BN1, _TINY, out=total_BN1)
    np.putmask(against_BNH, positive_BNH < LEAST_SHARE * total_BN1, np.inf)
    column_BNX = np.argsort(against_BNH, axis=2)[..., :NAMED]
    first_BN1 = np.arange(0, positive_BNH.size, positive_BNH.shape[2]).reshape(total_BN1.shape)
    place_BNX = first_BN1 + column_BNX
    share_BNX = positive_BNH.take(place_BNX) / total_BN1
    share_BNX *= against_BNH.take(place_BNX) < _MOST_AGAINST_X
    return Named(column_BNX=column_BNX, share_BNX=share_BNX)


def top_evidence(
    maker: ProfileMaker,
    items_IVMD: Grown,
    lists: Sequence[ListedItems],
    contribution_BNG: Floats,
    newest: int,
) -> TopEvidence:
    """The items that reasons name for the first N items of each list, and the part of the first.

    Args: as of `evidence`.
    """
    compiled = kernels()
    parts = _base(items_IVMD), _base(maker.foldin_IVMD), _base(maker.length_IG)
    plain = [each for each in parts if isinstance(each, np.ndarray)]
    single = all(len(each.histories) == 1 for each in lists)
    if compiled is not None and single and len(plain) == len(parts):
        items, foldin, length_IG = plain
        vectors = Vectors(
            items_IGD=_channels(items),
            foldin_IGD=_channels(foldin),
            length_IG=length_IG,
            least=_LEAST,
        )
        found = find_top_evidence(
            compiled, vectors, _inputs(maker, lists, contribution_BNG), newest
        )
        if found is not None:
            return found
    everything = evidence(maker, items_IVMD, lists, contribution_BNG, newest)
    num_shown = contribution_BNG.shape[1]
    chosen = named(everything, num_shown)
    list_P, place_P = np.indices(chosen.column_BNX.shape[:2]).reshape(2, -1)
    first_PG = everything.by_channel(list_P, place_P, chosen.column_BNX[list_P, place_P, 0])
    rows_BNX = everything.rows_BH[np.arange(len(lists))[:, None, None], chosen.column_BNX]
    return TopEvidence(rows_BNX, chosen.share_BNX, first_PG.reshape(contribution_BNG.shape))


def _inputs(
    maker: ProfileMaker, lists: Sequence[ListedItems], contribution_BNG: Floats
) -> list[EvidenceInputs]:
    found = []
    for each, contribution_NG in zip(lists, contribution_BNG, strict=True):
        (history_H,), (scores,) = each.histories, each.profile.of_histories
        found.append(
            EvidenceInputs(
                rows_R=each.rows_R,
                history_H=history_H,
                share_H=recency_shares(len(history_H), maker.recency_power),
                user_GD=each.profile.vector_VMD,
                contribution_NG=contribution_NG,
                item_item_N=each.profile.item_item.at(each.rows_R[: len(contribution_NG)]),
                items_E=scores.items_E.astype(np.int32, copy=False),
                values_E=scores.values_E,
                end_H=scores.end_H.astype(np.int64, copy=False),
                factor=scores.factor,
            )
        )
    return found


def _base(rows: Grown) -> Base:
    """All rows, or those of the model if it has grown."""
    return rows.base if isinstance(rows, GrownRows) else rows


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _HistoryItems:
    """The items of histories, and what makes points of the products of their fold-in rows."""

    rows_BH: Rows
    foldin_BHGD: Floats
    share_BH: Floats
    total_BG: Floats
    """Of the lengths of a history's fold-in rows, times their shares."""
    part_BRH: Floats
    """What they add to the item-item scores of the lists' items."""


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The newest items of one history of a list."""

    place: int
    """Of the list."""
    rows_H: History
    share_H: Floats
    total_G: Floats
    """Of the lengths of the whole history's fold-in rows, times their shares."""
    scores: HistoryScores


def _history_items(
    maker: ProfileMaker, lists: Sequence[ListedItems], rows_BR: Rows, newest: int
) -> _HistoryItems:
    sources = [
        _source(maker, place, history_H, scores, newest)
        for place, each in enumerate(lists)
        for history_H, scores in zip(each.histories, each.profile.of_histories, strict=True)
        if len(history_H)
    ]
    width = max(NAMED, *(len(source.rows_H) for source in sources))
    parts = [source.scores.parts(rows_BR[source.place], newest) for source in sources]
    part_QRH = dense_parts(parts, rows_BR.shape[1], width)
    if any(len(each.histories) > 1 for each in lists):
        return _joined(maker, lists, sources, part_QRH)
    rows_BH = _padded([source.rows_H for source in sources], width, _NO_ITEM)
    return _HistoryItems(
        rows_BH=rows_BH,
        foldin_BHGD=_foldin(maker, rows_BH),
        share_BH=_padded([source.share_H for source in sources], width, np.float32(0)),
        total_BG=np.maximum(np.array([source.total_G for source in sources]), _TINY),
        part_BRH=part_QRH,
    )


def _source(
    maker: ProfileMaker, place: int, history_H: History, scores: HistoryScores, newest: int
) -> _Source:
    share_H = recency_shares(len(history_H), maker.recency_power)
    total_G = share_H @ maker.length_IG.take(history_H, axis=0)
    return _Source(place, history_H[-newest:], share_H[-newest:], total_G, scores)


def _joined(
    maker: ProfileMaker, lists: Sequence[ListedItems], sources: Sequence[_Source], part_QRH: Floats
) -> _HistoryItems:
    """Of lists some of which have several histories: an item of two adds for both.

    What makes points differs by history, so fold-in rows are multiplied by it.
    """
    columns: list[dict[int, int]] = [{} for _ in lists]
    for source in sources:
        column_of = columns[source.place]
        for row in source.rows_H.tolist():
            column_of.setdefault(row, len(column_of))
    width = max(NAMED, *map(len, columns))
    rows_BH = _padded([np.fromiter(each, np.intp) for each in columns], width, _NO_ITEM)
    num_rows, num_channels = part_QRH.shape[1], len(sources[0].total_G)
    weight_BHG = np.zeros((len(lists), width, num_channels), dtype=np.float32)
    part_BRH = np.zeros((len(lists), num_rows, width), dtype=np.float32)
    for source, part_RH in zip(sources, part_QRH, strict=True):
        place, weight = source.place, np.float32(1 / len(lists[source.place].histories))
        to_H = [columns[place][row] for row in source.rows_H.tolist()]
        weight_BHG[place, to_H] += (
            weight * source.share_H[:, None] / np.maximum(source.total_G, _TINY)
        )
        part_BRH[place][:, to_H] += weight * part_RH[:, : len(to_H)]
    foldin_BHGD = _foldin(maker, rows_BH)
    foldin_BHGD *= weight_BHG[..., None]
    return _HistoryItems(
        rows_BH=rows_BH,
        foldin_BHGD=foldin_BHGD,
        share_BH=(rows_BH != _NO_ITEM).astype(np.float32),
        total_BG=np.ones((len(lists), num_channels), dtype=np.float32),
        part_BRH=part_BRH,
    )


def _foldin(maker: ProfileMaker, rows_BH: Rows) -> Floats:
    """Their rows; any where nobody is."""
    return _channels(maker.foldin_IVMD.take(np.maximum(rows_BH, 0), axis=0))


def _padded(arrays: Sequence[NDArray[Any]], width: int, fill: Any) -> NDArray[Any]:
    """Stacked, and filled up on the right."""
    found = np.full((len(arrays), width), fill)
    for row, array in zip(found, arrays, strict=True):
        row[: len(array)] = array
    return found


def _channels(vectors: Floats) -> Floats:
    """The same memory, with views and modalities as one axis [..., G, D]."""
    *first, views, modalities, width = vectors.shape
    return vectors.reshape(*first, views * modalities, width)


def _rows(vectors_BNGD: Floats) -> Floats:
    """The same memory, with a row of numbers for each item."""
    return vectors_BNGD.reshape(*vectors_BNGD.shape[:2], math.prod(vectors_BNGD.shape[2:]))
