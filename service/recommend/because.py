"""Because: the items of a history that speak for an item of a list, and a sentence for shoppers.

Which items are named is decided in `model.runtime.evidence`; which sentence, in `_sentences`. The
rules are those of docs/explanations.md.

Letters: N items of a list, R the same and others beside them, X named items, V views, M modalities,
G = V * M channels, K experts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.runtime.evidence import Named, Source, evidence, named
from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.recommend.explanation import Weights
from service.schemas.responses import Because
from service.schemas.responses import Source as AnswerSource
from service.serving.snapshot import Snapshot

COMPARED = 20
"""A list is filled up to so many of the user's best items: what an item of the history says for one
is compared with what it says for these."""
NEWEST = 50
"""Items of a history that can be named. Work grows with them, and of late ones people know."""
POPULAR = "Popular right now"
"""Of a list of popular items, and of an item that mostly its popularity has put into a list."""
VERBS: dict[AnswerSource, str] = {"model": "liked", "live": "liked", "session": "looked at"}
"""What was done with the items of histories."""
_ALSO = 0.5
"""Of the first item's share: what the second one needs to be in the sentence."""
_MOSTLY = 0.5
"""Of a sum, for a part of it to decide the sentence."""
_LIKE = 0.2
"""Of what the first item says: what a modality needs to be in the sentence."""
_WORDS = {
    "text": "description",
    "description": "description",
    "title": "title",
    "image": "looks",
    "picture": "looks",
    "visual": "looks",
    "audio": "sound",
    "acoustic": "sound",
    "sound": "sound",
    "category": "category",
    "categories": "category",
    "genre": "genre",
}
"""What shoppers call a modality. A sentence names no other."""
_SORTED = re.compile(r"(.+), (The|An?|Les?|La|Der|Die|Das|Il|El|Los|Las)( \(\d{4}\))?")
"""Title, article, and perhaps a year."""
_KEPT_TITLES = 4_096


class Sentence(NamedTuple):
    """A sentence that names up to two items of the history."""

    before: str
    names: int = 0
    between: str = ""
    """Behind the first name."""


_CLOSE = Sentence("Close to your taste")
_POPULAR = Sentence(POPULAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Of one list: who is named for every item, and the sentence."""

    rows_NX: Rows
    """The most telling first."""
    share_NX: NDArray[np.float64]
    """Of all that the history says for the item; 0 behind the last who is named."""
    sentences: list[Sentence]


def because(
    snapshot: Snapshot,
    source: Source,
    verb: str,
    rows_R: Rows,
    breakdown: Breakdown,
    bias_N: Weights,
) -> Reasons:
    """Who is named for the items of a list, and the sentences.

    Args:
        snapshot: the model that has scored them.
        source: the profile, and the histories that it is made of.
        verb: what was done with the items of the histories, see `VERBS`.
        rows_R: the N items, then others to compare them with.
        breakdown: of the N items' scores.
        bias_N: what the scores begin with.
    """
    num_shown, num_experts = breakdown.weight_CK.shape
    if not any(map(len, source[1])):
        nobody = np.empty((num_shown, 0), dtype=np.intp)
        return Reasons(
            rows_NX=nobody, share_NX=nobody.astype(np.float64), sentences=[_CLOSE] * num_shown
        )
    contribution_NKG = breakdown.contribution_CKVM.reshape(num_shown, num_experts, -1)
    contribution_NG = np.ones(num_experts, dtype=np.float32) @ contribution_NKG
    items_RVMD = snapshot.items.embeddings_IVMD.take(rows_R, axis=0)
    found = evidence(snapshot.profiles, items_RVMD, source, rows_R, contribution_NG, NEWEST)
    chosen = named(found, rows_R, num_shown)
    share_NX, order_NX = _who(chosen)
    column_NX = np.take_along_axis(chosen.column_NX, order_NX, axis=1)
    first_NG = found.by_channel(np.arange(num_shown), chosen.column_NX[:, 0])
    first_NM = first_NG.reshape(num_shown, -1, len(snapshot.manifest.modalities)).sum(axis=1)
    # Popularity adds as much to the score as all else together.
    popular_N = (bias_N > 0) & (bias_N >= contribution_NG.sum(axis=1))
    sentences = _sentences(snapshot, rows_R[:num_shown], popular_N, first_NM, share_NX, verb)
    return Reasons(rows_NX=found.tellers.rows_H[column_NX], share_NX=share_NX, sentences=sentences)


def told(snapshot: Snapshot, reasons: Reasons) -> tuple[list[list[Because]], list[str]]:
    """Who is named for each item of a list, and the sentences, as an answer has them."""
    lists: list[list[Because]] = []
    sentences: list[str] = []
    for rows, shares, sentence in zip(
        reasons.rows_NX.tolist(), reasons.share_NX.tolist(), reasons.sentences, strict=True
    ):
        who: list[Because] = []
        for row, share in zip(rows, shares, strict=True):
            if share > 0:
                item_id, title = snapshot.items.label(row)
                who.append({"item_id": item_id, "title": title, "share": share})
        names = [spoken(each["title"] or each["item_id"]) for each in who[: sentence.names]]
        first, second = (*names, "", "")[:2]
        lists.append(who)
        sentences.append(f"{sentence.before}{first}{sentence.between}{second}")
    return lists, sentences


def _who(chosen: Named) -> tuple[NDArray[np.float64], Rows]:
    """Of the items that may be named those that are: their shares, and which they are.

    The first who speaks is, and others that say more than they say usually.
    """
    share_NX = chosen.share_NX.astype(np.float64).round(7)
    speaks_NX = share_NX > 0
    named_NX = speaks_NX & (chosen.above_NX > 0)
    first_NX = speaks_NX & (speaks_NX.cumsum(axis=1) == 1)
    named_NX |= first_NX & ~named_NX.any(axis=1, keepdims=True)
    share_NX[~named_NX] = 0
    order_NX = np.argsort(~named_NX, axis=1, kind="stable")
    return np.take_along_axis(share_NX, order_NX, axis=1), order_NX


@lru_cache
def _usual(verb: str) -> tuple[Sentence, ...]:
    """The sentences in the order of `_sentences`."""
    return (
        _POPULAR,
        _CLOSE,
        Sentence(f"Because you {verb} ", 2, " and "),
        Sentence("Popular with people who liked ", 1),
        Sentence(f"Because you {verb} ", 1),
    )


def _sentences(
    snapshot: Snapshot,
    rows_N: Rows,
    popular_N: NDArray[np.bool_],
    first_NM: Weights,
    share_NX: NDArray[np.float64],
    verb: str,
) -> list[Sentence]:
    """The first rule that holds decides.

    `first_NM` is what the first who may be named says, by modality.
    """
    items = snapshot.items
    two_N2 = np.zeros((len(rows_N), 2))
    two_N2[:, : share_NX.shape[1]] = share_NX[:, :2]
    first_N, second_N = two_N2.T
    rules = (
        popular_N,
        first_N == 0,
        (second_N > 0) & (second_N >= _ALSO * first_N),
        # Behaviour is more than half of what the first says.
        first_NM[:, 0] > _MOSTLY * np.maximum(first_NM, 0).sum(axis=1),
        np.ones(len(rows_N), dtype=np.bool_),
    )
    usual = _usual(verb)
    sentences = [usual[rule] for rule in np.argmax(rules, axis=0).tolist()]
    for place in np.flatnonzero(items.popularity_I.take(rows_N) == 0).tolist():
        words = _alike(snapshot.manifest.modalities, first_NM[place])
        alike = f" in {_and(words)}" if words else ""
        named_one = first_N[place] > 0
        sentences[place] = Sentence("New, and like ", 1, alike) if named_one else Sentence("New")
    return sentences


def _alike(modalities: Sequence[str], part_M: Weights) -> list[str]:
    """The content by which an item of the history speaks for another, in shoppers' words."""
    least = _LIKE * float(np.maximum(part_M, 0).sum())
    order = [part for part in np.argsort(-part_M) if part and part_M[part] >= least > 0]
    words = [_WORDS.get(modalities[part].casefold()) for part in order]
    return list(dict.fromkeys(word for word in words if word is not None))


@lru_cache(_KEPT_TITLES)
def spoken(title: str) -> str:
    """A title that lists sort by, `Fugitive, The`, as people say it."""
    found = _SORTED.fullmatch(title)
    return title if found is None else f"{found[2]} {found[1]}{found[3] or ''}"


def _and(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
