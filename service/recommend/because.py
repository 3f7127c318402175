"""Because: the items of a history that an item is recommended for, and a sentence for shoppers.

Which items are named is decided in `model.runtime.evidence`; which sentence, in `_kinds`. The
rules are those of docs/explanations.md.

Letters: B lists, N items of a list, C = B * N, R the same and others beside them, X named items,
P items of all lists whose first named one is looked at, M modalities, G channels: views times
modalities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.runtime.evidence import NEWEST, ListedItems, top_evidence
from model.runtime.native.reasons import NAMED, TopEvidence
from model.runtime.top_k import Rows
from service.recommend.explanation import Weights
from service.schemas.responses import Because
from service.schemas.responses import Source as AnswerSource
from service.serving.catalogue import Catalogue
from service.serving.snapshot import Snapshot

COMPARED = 20
"""A list is filled up to so many of the user's best items: what an item of the history adds to one
is compared with what it adds to these."""
POPULAR = "Popular right now"
"""Of a list of popular items, and of an item that mostly its popularity has put into a list."""
VERBS: dict[AnswerSource, str] = {"model": "liked", "live": "liked", "session": "looked at"}
"""What was done with the items of histories."""
_ALSO = 0.5
"""Of the first item's share: what the second one needs to be in the sentence."""
_MOSTLY = 0.5
"""Of a sum, for a part of it to decide the sentence."""
_LIKE = 0.2
"""Of what the first item adds: what a modality needs to be in the sentence."""
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
_RUN_ITEMS = 1_600
"""Items of lists or histories that are worked on together: those of a whole batch. The arrays of a
bulk call would not stay in a processor's cache."""


class Sentence(NamedTuple):
    """A sentence that names up to two items of the history."""

    before: str
    names: int = 0
    between: str = ""
    """Behind the first name."""


_SAME = 2
"""So many kinds of sentences, the first, are the same whatever was done with the history."""
_CLOSE = Sentence("Close to your taste")
_POPULAR = Sentence(POPULAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Of lists, one after the other: the items that are named for every item, and the sentence."""

    rows_CX: Rows
    """Strongest first; any where the share is 0."""
    share_CX: Weights
    """Of all that the history adds to the item; 0 behind the last that is named."""
    sentence_C: NDArray[np.intp]
    """Their places in `sentences`."""
    sentences: list[Sentence]


def because(
    snapshot: Snapshot,
    lists: Sequence[ListedItems],
    verbs: Sequence[str],
    contribution_BNG: Weights,
    bias_BN: Weights,
) -> Reasons:
    """The items that are named for the items of some lists, and the sentences.

    Args:
        snapshot: the model that has scored them.
        lists: N items each, then others to compare them with; all of one length.
        verbs: what was done with the items of each list's histories, see `VERBS`.
        contribution_BNG: of experts together to the scores of the N items.
        bias_BN: what these scores begin with.
    """
    sentences = [_POPULAR, _CLOSE]
    usual = {}
    for verb in dict.fromkeys(verbs):
        usual[verb] = len(sentences)
        sentences += _by_verb(verb)
    rows_BNX = np.full((*bias_BN.shape, NAMED), -1)
    share_BNX = np.zeros(rows_BNX.shape, dtype=np.float32)
    sentence_BN = np.full(bias_BN.shape, sentences.index(_CLOSE))
    speaking = [place for place, each in enumerate(lists) if any(map(len, each.histories))]
    step = max(1, _RUN_ITEMS // max(NEWEST, len(lists[0].rows_R)))
    for start in range(0, len(speaking), step):
        part = speaking[start : start + step]
        some = [lists[place] for place in part]
        contributions = contribution_BNG[part]
        items = snapshot.items.embeddings_IVMD
        found = top_evidence(snapshot.profiles, items, some, contributions, NEWEST)
        rows_BNX[part], share_BNX[part] = found.rows_BNX, found.share_BNX
        # Popularity adds as much to the score as all else together.
        popular_BN = (bias_BN[part] > 0) & (bias_BN[part] >= contributions.sum(axis=2))
        shown_BN = np.array([each.rows_R[: bias_BN.shape[1]] for each in some])
        kind_BN, alike = _kinds(snapshot, shown_BN, found, popular_BN)
        first_B1 = np.array([[usual[verbs[place]]] for place in part])
        # The first two kinds are the same for all verbs.
        kind_BN = np.where(kind_BN < _SAME, kind_BN, kind_BN - _SAME + first_B1)
        for pair, words in alike.items():
            kind_BN.reshape(-1)[pair] = len(sentences)
            sentences.append(_of_new(words))
        sentence_BN[part] = kind_BN
    return Reasons(
        rows_CX=rows_BNX.reshape(-1, NAMED),
        share_CX=share_BNX.reshape(-1, NAMED),
        sentence_C=sentence_BN.reshape(-1),
        sentences=sentences,
    )


def in_words(items: Catalogue, reasons: Reasons) -> tuple[list[list[Because]], list[str]]:
    """The items that are named for each item, and the sentences, as an answer has them."""
    lists: list[list[Because]] = []
    sentences: list[str] = []
    shares_C = reasons.share_CX.astype(np.float64).round(7).tolist()
    for rows, shares, code in zip(
        reasons.rows_CX.tolist(), shares_C, reasons.sentence_C.tolist(), strict=True
    ):
        sentence = reasons.sentences[code]
        who = [
            (items.label(row), share) for row, share in zip(rows, shares, strict=True) if share > 0
        ]
        names = [label.name for label, _ in who[: sentence.names]]
        first, second = (*names, "", "")[:2]
        lists.append(
            [
                {"item_id": label.item_id, "title": label.title, "share": share}
                for label, share in who
            ]
        )
        sentences.append(f"{sentence.before}{first}{sentence.between}{second}")
    return lists, sentences


@lru_cache
def _by_verb(verb: str) -> tuple[Sentence, ...]:
    """The sentences by the numbers of `_kinds`, from `_SAME` on."""
    return (
        Sentence(f"Because you {verb} ", 2, " and "),
        Sentence(f"Because you {verb} ", 1),
        Sentence("Popular with people who liked ", 1),
    )


def _of_new(words: Sequence[str] | None) -> Sentence:
    """Of an item that nobody has chosen: words for what it is like; None if none is named."""
    if words is None:
        return Sentence("New")
    return Sentence("New, and like ", 1, f" in {_and(words)}" if words else "")


def _kinds(
    snapshot: Snapshot, rows_BN: Rows, found: TopEvidence, popular_BN: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], dict[int, list[str] | None]]:
    """The kind of each item's sentence, see `because`; and of new items what they are like.

    The first rule that holds decides. New items are given by their place in all lists, one after
    the other.
    """
    first_BN, second_BN = found.share_BNX[..., 0], found.share_BNX[..., 1]
    rules = (
        popular_BN,
        first_BN == 0,
        (second_BN > 0) & (second_BN >= _ALSO * first_BN),
        np.ones(popular_BN.shape, dtype=np.bool_),
    )
    kind_BN = np.argmax(rules, axis=0)
    num_shown, modalities = popular_BN.shape[1], snapshot.manifest.modalities
    new_BN = snapshot.items.popularity_I.take(rows_BN) == 0
    asked_P = list_P, place_P = ((kind_BN == len(rules) - 1) | (new_BN & (first_BN > 0))).nonzero()
    part_PG = found.first_BNG[list_P, place_P]
    num_views = len(snapshot.manifest.views)
    part_PM = part_PG.reshape(len(part_PG), num_views, len(modalities)).sum(axis=1)
    # Behaviour is more than half of what the first adds.
    by_others_P = part_PM[:, 0] > _MOSTLY * np.maximum(part_PM, 0).sum(axis=1)
    kind_BN[asked_P] += by_others_P & (kind_BN[asked_P] == len(rules) - 1)
    alike: dict[int, list[str] | None] = dict.fromkeys(new_BN.reshape(-1).nonzero()[0].tolist())
    if alike:
        for pair, part_M in zip((list_P * num_shown + place_P).tolist(), part_PM, strict=True):
            if pair in alike:
                alike[pair] = _alike(modalities, part_M)
    return kind_BN, alike


def _alike(modalities: Sequence[str], part_M: Weights) -> list[str]:
    """The content that an item of the history is like another by, in shoppers' words."""
    least = _LIKE * float(np.maximum(part_M, 0).sum())
    order = [part for part in np.argsort(-part_M) if part and part_M[part] >= least > 0]
    words = [_WORDS.get(modalities[part].casefold()) for part in order]
    return list(dict.fromkeys(word for word in words if word is not None))


def _and(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
