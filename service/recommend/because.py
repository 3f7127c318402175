"""Because: the items of a history that speak for an item of a list, and a sentence for shoppers.

Which items are named is decided in `model.runtime.evidence`; which sentence, in `_sentence`. The
rules are those of docs/explanations.md.

Letters: N items of a list, R the same and others beside them, X named items, V views, M modalities,
G = V * M channels, K experts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.runtime.evidence import Evidence, Named, Source, evidence, named
from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.recommend.explanation import Weights, plain_numbers
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
_CLOSE = "Close to your taste"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Of one list: for every item who is named, and the sentence."""

    because: list[list[Because]]
    sentences: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What decides the sentences, a value for each item of the list."""

    alike: dict[int, list[str]]
    """Of items that nobody has chosen: by which content the first named item speaks for them."""
    popular: list[bool]
    """Popularity adds as much to the score as all else together."""
    by_others: list[bool]
    """Behaviour is more than half of what the first named item says."""


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
    items, maker = snapshot.items, snapshot.profiles
    num_shown, num_experts = breakdown.weight_CK.shape
    if not any(map(len, source[1])):
        return Reasons(because=[[] for _ in rows_R[:num_shown]], sentences=[_CLOSE] * num_shown)
    contribution_NKG = breakdown.contribution_CKVM.reshape(num_shown, num_experts, -1)
    contribution_NG = np.ones(num_experts, dtype=np.float32) @ contribution_NKG
    items_RVMD = items.embeddings_IVMD.take(rows_R, axis=0)
    found = evidence(maker, items_RVMD, source, rows_R, contribution_NG, NEWEST)
    chosen = named(found, rows_R, num_shown)
    lists = _because(snapshot, found, chosen)
    popular_N = (bias_N > 0) & (bias_N >= contribution_NG.sum(axis=1))
    facts = _facts(snapshot, found, chosen, rows_R[:num_shown], popular_N)
    sentences = [_sentence(who, facts, place, verb) for place, who in enumerate(lists)]
    return Reasons(because=lists, sentences=sentences)


def _because(snapshot: Snapshot, found: Evidence, chosen: Named) -> list[list[Because]]:
    """Who is named for each item: the first, and others that say more than they say usually."""
    label = snapshot.items.label
    lists: list[list[Because]] = []
    for rows, shares, aboves in zip(
        found.tellers.rows_H[chosen.column_NX].tolist(),
        plain_numbers(chosen.share_NX),
        chosen.above_NX.tolist(),
        strict=True,
    ):
        who: list[Because] = []
        for row, share, above in zip(rows, shares, aboves, strict=True):
            if share > 0 and (above > 0 or not who):
                item_id, title = label(row)
                who.append({"item_id": item_id, "title": title, "share": share})
        lists.append(who)
    return lists


def _facts(
    snapshot: Snapshot, found: Evidence, chosen: Named, rows_N: Rows, popular_N: NDArray[np.bool_]
) -> _Facts:
    items, modalities = snapshot.items, snapshot.manifest.modalities
    first_NG = found.by_channel(np.arange(len(rows_N)), chosen.column_NX[:, 0])
    first_NM = first_NG.reshape(len(rows_N), -1, len(modalities)).sum(axis=1)
    return _Facts(
        alike={
            place: _alike(modalities, first_NM[place])
            for place in np.flatnonzero(items.popularity_I.take(rows_N) == 0).tolist()
        },
        popular=popular_N.tolist(),
        by_others=(first_NM[:, 0] > _MOSTLY * np.maximum(first_NM, 0).sum(axis=1)).tolist(),
    )


def _alike(modalities: Sequence[str], part_M: Weights) -> list[str]:
    """The content by which an item of the history speaks for another, in shoppers' words."""
    least = _LIKE * float(np.maximum(part_M, 0).sum())
    order = [part for part in np.argsort(-part_M) if part and part_M[part] >= least > 0]
    words = [_WORDS.get(modalities[part].casefold()) for part in order]
    return list(dict.fromkeys(word for word in words if word is not None))


def _sentence(who: list[Because], facts: _Facts, place: int, verb: str) -> str:
    """The first rule that holds decides."""
    names = [_spoken(each["title"] or each["item_id"]) for each in who[:2]]
    if place in facts.alike:
        alike = f" in {_and(facts.alike[place])}" if facts.alike[place] else ""
        return f"New, and like {names[0]}{alike}" if names else "New"
    if facts.popular[place]:
        return POPULAR
    if not names:
        return _CLOSE
    if len(names) > 1 and who[1]["share"] >= _ALSO * who[0]["share"]:
        return f"Because you {verb} {names[0]} and {names[1]}"
    if facts.by_others[place]:
        return f"Popular with people who liked {names[0]}"
    return f"Because you {verb} {names[0]}"


@lru_cache(_KEPT_TITLES)
def _spoken(title: str) -> str:
    """A title that lists sort by, `Fugitive, The`, as people say it."""
    found = _SORTED.fullmatch(title)
    return title if found is None else f"{found[2]} {found[1]}{found[3] or ''}"


def _and(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
