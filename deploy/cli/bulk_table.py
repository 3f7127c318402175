"""The lists of many users as one table: from the engine's arrays, without an object for each item.

What stands in it is what `service.recommend.answer` tells in the API's answers.

Letters: C items of all lists, N items of a list.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from service.recommend.answer_items import ONLY, PINNED, popular_words
from service.recommend.because import POPULAR, Sentence
from service.recommend.explanation import largest_words, sentence_case
from service.recommend.lists import Explained, Lists
from service.schemas.responses import Cause
from service.serving.catalogue import Catalogue

Codes = NDArray[np.int64]

COLUMNS: dict[str, Any] = {
    "user_id": pl.String,
    "rank": pl.Int32,
    "item_id": pl.String,
    "score": pl.Float32,
    "source": pl.String,
    "reasons": pl.List(pl.String),
    "model_version": pl.String,
}
SHORT_COLUMNS: dict[str, Any] = {
    "user_id": pl.String,
    "items": pl.Int32,
    "left_out": pl.Struct(dict.fromkeys(get_args(Cause), pl.Int64)),
    "warnings": pl.List(pl.String),
}
"""Of a list that has fewer items than asked for: how many, what leaves out the others."""
_NONE = -1
_NO_SENTENCE = Sentence("")


class ItemNames:
    """Ids of items, and what sentences call them; each item's are made once."""

    def __init__(self) -> None:
        self._models: list[Catalogue] = []
        self._names: list[dict[int, tuple[str, str]]] = []

    def codes(self, items: Catalogue, rows_C: NDArray[np.integer]) -> Codes:
        """The items' codes, as `of` takes them; a row of -1 means no item."""
        places = [place for place, each in enumerate(self._models) if each is items]
        if not places:
            places = [len(self._models)]
            self._models.append(items)
            self._names.append({})
        return np.where(rows_C == _NONE, _NONE, places[0] << 32 | rows_C.astype(np.int64))

    def of(self, code: int) -> tuple[str, str]:
        """Id and name; of none, both are empty."""
        if code == _NONE:
            return "", ""
        model, row = code >> 32, code & 0xFFFFFFFF
        known = self._names[model]
        if row not in known:
            label = self._models[model].label(row)
            known[row] = (label.item_id, label.name)
        return known[row]


class ListTable:
    """Lists are added; then `frame` makes a row of each item, and `short` of each short list."""

    def __init__(self, names: ItemNames) -> None:
        self._names = names
        self._texts: dict[str, int] = {}
        self._sentences: dict[Sentence, int] = {_NO_SENTENCE: 0}
        self._columns: list[dict[str, NDArray[Any]]] = []
        self._short: list[tuple[object, ...]] = []

    def add(self, lists: Lists) -> None:
        """Add the lists of some users, in their order."""
        shown = lists.shown
        sizes = np.array([len(each.rows) for each in shown], dtype=np.intp)
        starts = sizes.cumsum() - sizes
        columns: dict[str, NDArray[Any]] = {
            name: np.full(int(sizes.sum()), _NONE, dtype=np.int64)
            for name in ("item_id", "rank", "first", "second", "words", "more", "pinned")
        }
        columns["sentence"] = np.zeros_like(columns["words"])
        columns["score"] = np.concatenate([each.scores for each in shown])
        for resolved, ranked, start in zip(lists.resolved, shown, starts.tolist(), strict=True):
            own = slice(start, start + len(ranked.rows))
            items, first_rank = resolved.served.snapshot.items, resolved.request.offset + 1
            columns["item_id"][own] = self._names.codes(items, ranked.rows)
            columns["rank"][own] = np.arange(first_rank, first_rank + len(ranked.rows))
            if resolved.choice.source == "popular":
                popularity_N = items.popularity_I[ranked.rows]
                columns["score"][own] = popularity_N
                columns["sentence"][own] = self._sentence(Sentence(POPULAR))
                columns["words"][own] = self._codes(map(popular_words, popularity_N.tolist()))
            if resolved.pins:
                is_pinned_N = np.isin(ranked.rows, [pin.row for pin in resolved.pins])
                columns["pinned"][own][is_pinned_N] = self._text(PINNED)
        for explained in lists.explained:
            self._add_reasons(lists, explained, starts, columns)
        for name, values in (
            ("user_id", [each.request.user_id or "" for each in lists.resolved]),
            ("source", [each.choice.source for each in lists.resolved]),
            ("model_version", [each.served.snapshot.version for each in lists.resolved]),
        ):
            columns[name] = self._codes(values).repeat(sizes)
        if sizes.any():
            self._columns.append(columns)
        self._short += _short(lists)

    def short(self) -> pl.DataFrame:
        """A row for each list that has fewer items than asked for, also for one without any."""
        return pl.DataFrame(self._short, schema=SHORT_COLUMNS, orient="row")

    def frame(self) -> pl.DataFrame:
        """A row for each item of each list."""
        if not self._columns:
            return pl.DataFrame(schema=COLUMNS)
        names = self._columns[0]
        column = {name: np.concatenate([each[name] for each in self._columns]) for name in names}
        codes, place_C = np.unique(
            np.concatenate([column[name] for name in ("item_id", "first", "second")]),
            return_inverse=True,
        )
        ids, spoken_names = zip(*map(self._names.of, codes.tolist()), strict=True)
        of_item, of_first, of_second = np.split(place_C, 3)
        texts = [*self._texts, None]
        before, _, between = zip(*self._sentences, strict=True)
        frame = pl.DataFrame(
            {
                "user_id": _picked(texts, column["user_id"]),
                "rank": pl.Series(column["rank"], dtype=pl.Int32),
                "item_id": _picked(ids, of_item),
                "score": column["score"],
                "source": _picked(texts, column["source"]),
                "model_version": _picked(texts, column["model_version"]),
                "before": _picked(before, column["sentence"]),
                "first": _picked(spoken_names, of_first),
                "between": _picked(between, column["sentence"]),
                "second": _picked(spoken_names, of_second),
                **{name: _picked(texts, column[name]) for name in ("words", "more", "pinned")},
            }
        )
        sentence = pl.concat_str("before", "first", "between", "second")
        reasons = pl.concat_list(
            pl.when(sentence != "").then(sentence), "words", "more", "pinned"
        ).list.drop_nulls()
        return frame.with_columns(reasons=reasons).select(list(COLUMNS))

    def _add_reasons(
        self,
        lists: Lists,
        explained: Explained,
        starts: NDArray[np.intp],
        columns: dict[str, NDArray[Any]],
    ) -> None:
        """Add lists of equal length that were explained together."""
        places = explained.places
        size = len(lists.shown[places[0]].rows)
        at_C = (starts[places][:, None] + np.arange(size)).reshape(-1)
        items = lists.resolved[places[0]].served.snapshot.items
        reasons = explained.reasons
        columns["sentence"][at_C] = np.array(list(map(self._sentence, reasons.sentences)))[
            reasons.sentence_C
        ]
        num_names_C = np.array([sentence.names for sentence in reasons.sentences])[
            reasons.sentence_C
        ]
        for number, name in enumerate(("first", "second")):
            rows_C = np.where(num_names_C > number, reasons.rows_CX[:, number], _NONE)
            columns[name][at_C] = self._names.codes(items, rows_C)
        parts = explained.parts
        largest, place_C = np.unique(parts.largest_C, return_inverse=True)
        words = [sentence_case(largest_words(parts.names, code)) for code in largest.tolist()]
        columns["words"][at_C] = self._codes(words)[place_C]
        for place in places:
            for more in ONLY.get(lists.resolved[place].choice.source, ()):
                own = slice(starts[place], starts[place] + size)
                columns["more"][own] = self._text(more)

    def _sentence(self, sentence: Sentence) -> int:
        return self._sentences.setdefault(sentence, len(self._sentences))

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _codes(self, texts: Iterable[str]) -> Codes:
        return np.array([self._text(text) for text in texts], dtype=np.int64)


def _short(lists: Lists) -> Iterator[tuple[object, ...]]:
    """`SHORT_COLUMNS` of those that are short."""
    for place, (resolved, shown) in enumerate(zip(lists.resolved, lists.shown, strict=True)):
        if len(shown.rows) < resolved.request.k:
            end = lists.ends[place]
            left_out = None if end is None else dict(end.left_out)
            warnings = [each.words for each in lists.warnings(place)]
            yield resolved.request.user_id, len(shown.rows), left_out, warnings


def _picked(texts: Sequence[str | None], codes_C: NDArray[np.integer]) -> pl.Series:
    """Texts by their places; -1 is the last."""
    table = pl.Series(texts, dtype=pl.String)
    return table.gather(np.where(codes_C < 0, len(texts) - 1, codes_C))
