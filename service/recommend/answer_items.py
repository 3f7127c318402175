"""The items of answers as JSON, with what explains them; the fields are those of `RecommendedItem`.

Letters: C items of some lists of equal length, one list after the other, X items that are named,
A experts that are active for an item at most, K experts, M modalities, V views.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import orjson
from numpy.typing import NDArray

from model.runtime.top_k import Rows
from service.recommend.adjustments import listed
from service.recommend.because import POPULAR
from service.recommend.explanation import Parts, active_experts, largest_words, sentence_case
from service.recommend.lists import Explained, Lists
from service.recommend.pieces import Codes, Pieces
from service.recommend.resolution import ResolvedRequest
from service.retrieval.query import Ranked
from service.schemas.responses import Source
from service.serving.labels import in_string

ONLY: Mapping[Source, list[str]] = {
    "session": ["Based on the session's items only"],
    "live": ["Based on the user's latest events only"],
}
"""A last reason of every item, by what a list is made from."""
PINNED = "Pinned to this rank"
_KEPT_WORDS = 16_384

Floats = NDArray[np.floating]


def popular_words(interactions: float) -> str:
    """Why an item is in a list of popular ones, in numbers."""
    return f"Popular: {interactions} interactions in the training data"


def items_as_json(lists: Lists) -> list[bytes]:
    """The items of each list, as a JSON array."""
    found: dict[int, bytes] = {}
    for explained in lists.explained:
        asked = _Asked(lists, explained.places)
        found |= zip(explained.places, _explained(asked, explained), strict=True)
    for place in range(len(lists.shown)):
        if place not in found:
            asked = _Asked(lists, [place])
            (found[place],) = _unexplained(asked) if asked.size else [b"[]"]
    return [found[place] for place in range(len(lists.shown))]


class _Asked:
    """Lists of one model with as many items each, and the rows of text that they become."""

    def __init__(self, lists: Lists, places: Sequence[int]) -> None:
        self.resolved: list[ResolvedRequest] = [lists.resolved[place] for place in places]
        self.shown: list[Ranked] = [lists.shown[place] for place in places]
        self.snapshot = self.resolved[0].served.snapshot
        self.size = len(self.shown[0].rows)
        self.rows_C = np.concatenate([each.rows for each in self.shown])
        self.row = Pieces(len(self.rows_C))

    def of_lists(self, texts: Iterable[str]) -> Codes:
        """A text for each list, at its items."""
        codes = [self.row.code(text.encode()) for text in texts]
        return np.array(codes, dtype=np.int32).repeat(self.size)

    def begin(self, fields_C: Codes, score_C: Floats, bias_C: Floats) -> None:
        """Add the fields before the reasons."""
        comma_C = np.full(len(self.rows_C), self.row.code(b","), dtype=np.int32)
        comma_C[:: self.size] = 0
        first_L = np.array([each.request.offset + 1.0 for each in self.resolved])
        rank_C = (first_L[:, None] + np.arange(self.size)).reshape(-1)
        self.row.add(comma_C, fields_C, ',"rank":', rank_C, ',"score":', score_C)
        sources_C = self.of_lists(each.choice.source for each in self.resolved)
        self.row.add(',"bias":', bias_C, ',"source":"', sources_C, '","reasons":[')

    def end(self) -> list[bytes]:
        """Add the last field; the JSON of every list."""
        row = self.row
        if any(each.adjustments for each in self.resolved):
            adjustments = [
                orjson.dumps(adjusted)
                for resolved, shown in zip(self.resolved, self.shown, strict=True)
                for adjusted in listed(resolved.adjustments, shown.rows)
            ]
            row.add(',"adjustments":', row.codes(adjustments), "}")
        else:
            row.add(',"adjustments":[]}')
        text, end_C = row.written()
        ends = [0, *end_C[self.size - 1 :: self.size].tolist()]
        return [b"".join((b"[", text[start:end], b"]")) for start, end in pairwise(ends)]


def _unexplained(asked: _Asked) -> list[bytes]:
    """Of one list."""
    (resolved,), (shown,), row, items = asked.resolved, asked.shown, asked.row, asked.snapshot.items
    is_popular = resolved.choice.source == "popular"
    score_N: Floats = items.popularity_I[shown.rows] if is_popular else shown.scores
    bias_N: Floats = score_N if is_popular else resolved.bias(shown.rows)
    fields_N = row.codes(items.label(item).fields for item in shown.rows.tolist())
    asked.begin(fields_N, score_N, bias_N)
    if is_popular:
        row.add(f'"{POPULAR}",')
        row.add(row.codes(orjson.dumps(popular_words(number)) for number in score_N.tolist()))
    _add_pinned(asked, "," if is_popular else "")
    row.add('],"because":[],"experts":null,"by_modality":null,"by_view":null')
    return asked.end()


def _explained(asked: _Asked, explained: Explained) -> list[bytes]:
    """Of lists that were taken apart together."""
    named_CX = np.concatenate([each.rows_NX for each in explained.reasons])
    share_CX = np.concatenate([each.share_NX for each in explained.reasons])
    fields_C, fields_CX, name_CX = _labels(asked, named_CX)
    asked.begin(fields_C, np.concatenate([each.scores for each in asked.shown]), explained.bias_C)
    _add_reasons(asked, explained, name_CX)
    asked.row.add('],"because":[')
    asked.row.add_list(share_CX > 0, fields_CX, ',"share":', share_CX, "}")
    asked.row.add('],"experts":[')
    _add_experts(asked, explained.parts)
    asked.row.add("]")
    _add_sums(asked, explained.parts)
    return asked.end()


def _labels(asked: _Asked, named_CX: Rows) -> tuple[Codes, Codes, Codes]:
    """The first fields of items and of who is named, and the names of these in a sentence.

    Where nobody is named (-1), any.
    """
    rows = np.concatenate([asked.rows_C, np.maximum(named_CX, 0).reshape(-1)])
    rows_U, place = np.unique(rows, return_inverse=True)
    labels = list(map(asked.snapshot.items.label, rows_U.tolist()))
    fields_U = asked.row.codes(label.fields for label in labels)
    name_U = asked.row.codes(label.json for label in labels)
    place_C, place_X = np.split(place, [len(asked.rows_C)])
    place_CX = place_X.reshape(named_CX.shape)
    return fields_U[place_C], fields_U[place_CX], name_U[place_CX]


def _add_reasons(asked: _Asked, explained: Explained, name_CX: Codes) -> None:
    """Add what is inside the list of reasons."""
    row, names = asked.row, explained.parts.names
    sentences = [sentence for each in explained.reasons for sentence in each.sentences]
    code_of = {
        each: (row.code(in_string(each.before)), each.names, row.code(in_string(each.between)))
        for each in set(sentences)
    }
    before_C, size_C, between_C = np.array([code_of[x] for x in sentences], dtype=np.int32).T
    first_C, second_C = (np.where(size_C > place, name_CX[:, place], 0) for place in (0, 1))
    words = (row.code(_words(names, code)) for code in explained.parts.largest_C.tolist())
    words_C = np.fromiter(words, dtype=np.int32)
    row.add('"', before_C, first_C, between_C, second_C, '",', words_C)
    more = ([f',"{text}"' for text in ONLY.get(x.choice.source, ())] for x in asked.resolved)
    row.add(asked.of_lists(map("".join, more)))
    _add_pinned(asked, ",")


@lru_cache(_KEPT_WORDS)
def _words(names: tuple[str, ...], code: int) -> bytes:
    return orjson.dumps(sentence_case(largest_words(names, code)))


def _add_pinned(asked: _Asked, comma: str) -> None:
    """Add the reason of pinned items."""
    if any(each.pins for each in asked.resolved):
        is_pinned = [
            np.isin(shown.rows, [pin.row for pin in resolved.pins])
            for resolved, shown in zip(asked.resolved, asked.shown, strict=True)
        ]
        asked.row.add(f'{comma}"{PINNED}"', where_C=np.concatenate(is_pinned))


def _add_experts(asked: _Asked, parts: Parts) -> None:
    """Add the active experts."""
    specs = asked.snapshot.manifest.experts
    told = ({"name": x.name, "role": x.role, "modality": x.modality} for x in specs)
    code_K = asked.row.codes(orjson.dumps(each)[:-1] + b',"weight":' for each in told)
    expert_CA, is_there_CA = active_experts(parts.weight_CK, parts.expert_CK)
    weight_CA, contribution_CA = (
        np.take_along_axis(each, expert_CA, axis=1) for each in (parts.weight_CK, parts.expert_CK)
    )
    pieces = code_K[expert_CA], weight_CA, ',"contribution":', contribution_CA, "}"
    asked.row.add_list(is_there_CA, *pieces)


def _add_sums(asked: _Asked, parts: Parts) -> None:
    """Add the contributions by modality and by view, where they are wanted."""
    row, manifest = asked.row, asked.snapshot.manifest
    is_full_C = np.array([each.request.explain == "full" for each in asked.resolved])
    is_full_C = is_full_C.repeat(asked.size)
    if not is_full_C.any():
        row.add(',"by_modality":null,"by_view":null')
        return
    for field, names, number_CX in (
        ("by_modality", manifest.modalities, parts.modality_CM),
        ("by_view", manifest.views, parts.view_CV),
    ):
        row.add(f',"{field}":')
        row.add("null", where_C=~is_full_C)
        row.add("{", where_C=is_full_C)
        is_there_CX = is_full_C[:, None].repeat(len(names), axis=1)
        row.add_list(is_there_CX, row.codes(orjson.dumps(x) + b":" for x in names), number_CX)
        row.add("}", where_C=is_full_C)
