"""The items of answers as JSON, with what explains them; the fields are those of `RecommendedItem`.

Letters: C items of some lists of equal length, one list after the other, L lists, X items that are
named, K experts, M modalities, V views, S different sentences.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, pairwise, repeat

import numpy as np
import orjson
from numpy.typing import NDArray

from model.runtime.native.join import RowTemplate, TextRows
from model.runtime.native.reasons import NAMED
from service.recommend.adjustments import listed
from service.recommend.because import POPULAR
from service.recommend.explanation import largest_words, sentence_case
from service.recommend.lists import Explained, Lists
from service.schemas.responses import Source
from service.serving.labels import in_string

ONLY: Mapping[Source, list[str]] = {
    "session": ["Based on the session's items only"],
    "live": ["Based on the user's latest events only"],
}
"""A last reason of every item, by what a list is made from."""
PINNED = "Pinned to this rank"
_KEPT_WORDS = 16_384

Codes = NDArray[np.int32]


def popular_words(interactions: float) -> str:
    """Why an item is in a list of popular ones, in numbers."""
    return f"Popular: {interactions} interactions in the training data"


def items_as_json(lists: Lists) -> list[bytes]:
    """The items of each list, as a JSON array."""
    found: dict[int, bytes] = {}
    for explained in lists.explained:
        found |= zip(explained.places, _explained(lists, explained), strict=True)
    return [
        found[place] if place in found else _unexplained(lists, place)
        for place in range(len(lists.shown))
    ]


_SOURCE, _MORE, _FULL, _NOT_FULL, _PINNED, _BEFORE, _BETWEEN, _FIRST, _SECOND, _NAMED = range(10)
"""Whole numbers of a row: texts, or 0 for what is there and -1 for what is not. From `_NAMED` on,
whether so many are named; behind these, the experts in their order."""
_EXPERTS = _NAMED + NAMED
_RANK, _SCORE, _BIAS, _SHARES = range(4)
"""Other numbers of a row. Behind the shares, weights and contributions of all experts; then the
contributions of modalities and views."""
_WORDS, _ADJUSTED, _FIELDS, _WHO = range(4)
"""Texts of a row. From `_WHO` on, the fields of those that are named, and names for a sentence."""
_NAMES = _WHO + NAMED
_NAMES_OF_A_SENTENCE = 2
"""Most names of a sentence."""


def _begin(template: RowTemplate) -> None:
    """Up to the reasons. A comma stands before each item."""
    template.text(",")
    template.of_row(_FIELDS)
    for before, number in ((',"rank":', _RANK), (',"score":', _SCORE), (',"bias":', _BIAS)):
        template.text(before)
        template.number(number)
    template.text(',"source":"')
    template.one_of(_SOURCE)
    template.text('","reasons":[')


def _end(template: RowTemplate) -> None:
    template.text(',"adjustments":')
    template.of_row(_ADJUSTED)
    template.text("}")


@cache
def _unexplained_template() -> RowTemplate:
    template = RowTemplate()
    _begin(template)
    template.of_row(_WORDS)
    template.text('],"because":[],"experts":null,"by_modality":null,"by_view":null')
    _end(template)
    return template


@lru_cache
def _explained_template(
    experts: Sequence[tuple[str, str, str | None]], modalities: Sequence[str], views: Sequence[str]
) -> RowTemplate:
    template = RowTemplate()
    _begin(template)
    template.text('"')
    template.one_of(_BEFORE)
    with template.unless_negative(_FIRST):
        template.of_row(_NAMES)
    template.one_of(_BETWEEN)
    with template.unless_negative(_SECOND):
        template.of_row(_NAMES + 1)
    template.text('",')
    template.of_row(_WORDS)
    template.one_of(_MORE)
    with template.unless_negative(_PINNED):
        template.text(f',"{PINNED}"')
    template.text('],"because":[')
    for place in range(NAMED):
        with template.unless_negative(_NAMED + place):
            template.text("," if place else "")
            template.of_row(_WHO + place)
            template.text(',"share":')
            template.number(_SHARES + place)
            template.text("}")
    template.text('],"experts":[')
    first_weight = _SHARES + NAMED
    about = ({"name": name, "role": role, "modality": of} for name, role, of in experts)
    first_expert = template.keep(orjson.dumps(each)[:-1] + b',"weight":' for each in about)
    for place in range(len(experts)):
        with template.unless_negative(_EXPERTS + place):
            template.text("," if place else "")
            template.one_of(_EXPERTS + place, first_expert)
            template.number_of(_EXPERTS + place, first_weight)
            template.text(',"contribution":')
            template.number_of(_EXPERTS + place, first_weight + len(experts))
            template.text("}")
    template.text("]")
    first_sum = first_weight + 2 * len(experts)
    for field, names in (("by_modality", modalities), ("by_view", views)):
        template.text(f',"{field}":')
        with template.unless_negative(_NOT_FULL):
            template.text("null")
        with template.unless_negative(_FULL):
            for place, name in enumerate(names):
                template.text(b"," if place else b"{")
                template.text(orjson.dumps(name) + b":")
                template.number(first_sum + place)
            template.text("}")
        first_sum += len(names)
    _end(template)
    return template


class _Rows:
    """What is written of the items of lists of one model, with as many each."""

    def __init__(self, template: RowTemplate, lists: Lists, places: Sequence[int]) -> None:
        self.resolved = [lists.resolved[place] for place in places]
        self.shown = [lists.shown[place] for place in places]
        self.size = len(self.shown[0].rows)
        self._template = template
        self._texts: list[bytes] = [*template.texts]
        self._code_of: dict[bytes, int] = {}

    def code(self, text: bytes) -> int:
        """The number of a text that rows choose from."""
        known = self._code_of.get(text)
        if known is None:
            known = self._code_of[text] = len(self._texts)
            self._texts.append(text)
        return known

    def of_lists(self) -> Codes:
        """Each item's numbers up to `_PINNED`."""
        codes = [
            (
                self.code(each.choice.source.encode()),
                self.code("".join(f',"{x}"' for x in ONLY.get(each.choice.source, ())).encode()),
                0 if each.request.explain == "full" else -1,
                -1 if each.request.explain == "full" else 0,
            )
            for each in self.resolved
        ]
        return np.array(codes, dtype=np.int32).repeat(self.size, axis=0)

    def is_pinned(self) -> NDArray[np.bool_]:
        """Whether each item is [C]."""
        if not any(each.pins for each in self.resolved):
            return np.zeros(len(self.shown) * self.size, dtype=np.bool_)
        return np.concatenate(
            [
                np.isin(shown.rows, [pin.row for pin in resolved.pins])
                for resolved, shown in zip(self.resolved, self.shown, strict=True)
            ]
        )

    def ranks(self) -> NDArray[np.float64]:
        """Of each item [C, 1]."""
        first_L1 = np.array([[each.request.offset + 1] for each in self.resolved])
        return (first_L1 + np.arange(self.size)).reshape(-1, 1).astype(np.float64)

    def adjusted(self) -> Iterable[bytes]:
        """What each item is adjusted by, as JSON."""
        for resolved, shown in zip(self.resolved, self.shown, strict=True):
            if resolved.adjustments:
                yield from map(orjson.dumps, listed(resolved.adjustments, shown.rows))
            else:
                yield from repeat(b"[]", self.size)

    def written(
        self,
        of_rows: Iterable[bytes],
        own: Sequence[Codes],
        numbers: Sequence[NDArray[np.floating]],
    ) -> list[bytes]:
        """The JSON of each list, from the texts of rows, and parts of their numbers."""
        num_common = len(self._texts)
        rows = TextRows(
            piece_S3=self._template.as_array,
            texts=[*self._texts, *of_rows],
            num_common=num_common,
            own_CO=np.concatenate(own, axis=1, dtype=np.int32),
            number_CN=np.concatenate(numbers, axis=1, dtype=np.float64),
        )
        text, end_C = rows.written()
        ends = [0, *end_C[self.size - 1 :: self.size].tolist()]
        return [b"".join((b"[", text[start + 1 : end], b"]")) for start, end in pairwise(ends)]


def _unexplained(lists: Lists, place: int) -> bytes:
    resolved, shown = lists.resolved[place], lists.shown[place]
    if not len(shown.rows):
        return b"[]"
    rows, items = _Rows(_unexplained_template(), lists, [place]), resolved.served.snapshot.items
    is_popular = resolved.choice.source == "popular"
    score_N = items.popularity_I[shown.rows] if is_popular else shown.scores
    bias_N = score_N if is_popular else resolved.bias(shown.rows)
    numbers = rows.ranks(), score_N[:, None], bias_N[:, None]
    fields = [items.label(row).fields for row in shown.rows.tolist()]
    reasons: list[list[str]] = [[] for _ in fields]
    if is_popular:
        reasons = [[POPULAR, popular_words(number)] for number in score_N.tolist()]
    for pinned in np.flatnonzero(rows.is_pinned()).tolist():
        reasons[pinned].append(PINNED)
    texts = (orjson.dumps(each)[1:-1] for each in reasons)
    own = rows.of_lists()
    (found,) = rows.written(chain(texts, rows.adjusted(), fields), [own], numbers)
    return found


def _explained(lists: Lists, explained: Explained) -> list[bytes]:
    """Of lists that were taken apart together."""
    snapshot = lists.resolved[explained.places[0]].served.snapshot
    manifest, parts, reasons = snapshot.manifest, explained.parts, explained.reasons
    experts = tuple((each.name, each.role, each.modality) for each in manifest.experts)
    template = _explained_template(experts, tuple(manifest.modalities), tuple(manifest.views))
    rows = _Rows(template, lists, explained.places)
    of_lists_C4 = rows.of_lists()
    sentence_S4 = [
        (
            rows.code(in_string(each.before)),
            rows.code(in_string(each.between)),
            0 if each.names > 0 else -1,
            0 if each.names > 1 else -1,
        )
        for each in reasons.sentences
    ]
    own = (
        of_lists_C4,
        rows.is_pinned()[:, None].astype(np.int32) - 1,
        np.array(sentence_S4, dtype=np.int32)[reasons.sentence_C],
        (reasons.share_CX > 0).astype(np.int32) - 1,
        parts.order_CK,
    )
    score_C = np.concatenate([each.scores for each in rows.shown])
    numbers = (
        rows.ranks(),
        np.column_stack([score_C, explained.bias_C]),
        reasons.share_CX,
        parts.weight_CK,
        parts.expert_CK,
        parts.modality_CM,
        parts.view_CV,
    )
    # Where nobody is named, any.
    named_XC = np.maximum(reasons.rows_CX, 0).T
    rows_of = chain(
        chain.from_iterable(each.rows.tolist() for each in rows.shown), named_XC.ravel().tolist()
    )
    labels = list(map(snapshot.items.label, rows_of))
    in_sentences = labels[len(score_C) : (1 + _NAMES_OF_A_SENTENCE) * len(score_C)]
    of_rows = chain(
        map(_words(parts.names), parts.largest_C.tolist()),
        rows.adjusted(),
        (label.fields for label in labels),
        (label.json for label in in_sentences),
    )
    return rows.written(of_rows, own, numbers)


@lru_cache
def _words(names: tuple[str, ...]) -> Callable[[int], bytes]:
    """A number of `largest_parts` in words, as JSON."""
    return lru_cache(_KEPT_WORDS)(
        lambda code: orjson.dumps(sentence_case(largest_words(names, code)))
    )
