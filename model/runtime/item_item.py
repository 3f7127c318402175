"""The item-item model: what one item of a history adds to single others.

A vector of few dimensions cannot hold that. Row h of W [I, I], a sparse matrix, is what item h of a
history adds to each other item. A history adds to item i the mean of its rows by `recency_weights`
w: n(i) = sum over h of w_h W[h, i] / sum over h of w_h. What a history adds is brought to one
standard deviation over all items (docs/adr/0026), then added to the cosine of behaviour in the
interaction view, after routing (docs/adr/0014). In the artifact and its graphs the model is
called `neighbourhood`.

Letters: I items, C candidates, H items of a history, N items that a history says something for,
E entries of all rows of a history (of several users: of all their scores),
R items of a list, Q histories of lists, S slots of a table, B users.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import ArtifactError
from model.runtime.native.kernels import CompressedRows, LaidOut, kernels
from model.runtime.top_k import Rows, top_places

Floats = NDArray[np.float32]

_TENSORS = {
    "neighbourhood_offsets": np.int64,
    "neighbourhood_items": np.int32,
    "neighbourhood_weights": np.float32,
}
_COUNTED_ITEMS = 16_384
"""So small a catalogue keeps a value for each item: adding all of them to a user's cosines takes
less than picking some."""
_SUMMED_ITEMS = 131_072
"""Up to so many, a history's entries are summed by a counter for each item; of more, the counters
take longer to clear than the entries to be sorted."""
_KEPT_SHARES = 1_024
"""Lengths of histories whose weights are kept."""
_LOW_WORD = np.int64(2**32 - 1)
_SLOTS = 2**13
"""Of a table of items that are looked for, at least: of the entries of a history, which are many,
it lets one in some hundreds through that name another item."""


def recency_weights(age_H: NDArray[np.integer], power: float) -> Floats:
    """(1 + age)^-power, where age 0 is the newest item of a history (ours).

    A power of 0 counts every item alike, for histories whose order means nothing.
    """
    return ((1.0 + age_H) ** -power).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DenseScores:
    """What a history adds to items: a value for each, of a small catalogue."""

    value_I: Floats
    known_size: float | None = None
    """The largest of its values of either sign, if somebody has looked."""

    @property
    def largest_size(self) -> float:
        """Of its values of either sign; 0 if there are none."""
        if self.known_size is not None:
            return self.known_size
        return float(max(self.value_I.max(), -self.value_I.min()))

    @property
    def laid_out(self) -> LaidOut:
        """As the compiled functions take them."""
        return None, np.ascontiguousarray(self.value_I)

    def at(self, rows_C: Rows) -> Floats:
        """Its values for some items [C], in any order; 0 for items that came later."""
        value_C = self.value_I.take(rows_C, mode="clip")
        later_C = rows_C >= len(self.value_I)
        if later_C.any():
            value_C[later_C] = 0
        return value_C

    def between(self, start: int, stop: int) -> Floats:
        """Its values for the rows [start, stop)."""
        value_C = self.value_I[start:stop]
        missing = stop - start - len(value_C)
        return value_C if missing <= 0 else np.append(value_C, np.zeros(missing, np.float32))

    def largest(self, count: int) -> Rows:
        """The rows with the largest values above zero, largest first, `count` at most."""
        places = top_places(self.value_I, 0, count)
        return places[self.value_I[places] > 0]

    def deviation(self, num_items: int) -> float:
        """Standard deviation over all `num_items` of the catalogue."""
        assert len(self.value_I) == num_items
        return float(self.value_I.std())

    def times(self, factor: float) -> "ItemItemScores":
        """Every value times a number."""
        return DenseScores(self.value_I * np.float32(factor))

    def mean_with(self, other: "ItemItemScores") -> "ItemItemScores":
        """Half of each."""
        others_I = other.between(0, len(self.value_I))
        return DenseScores((self.value_I + others_I) * np.float32(0.5))


@dataclass(frozen=True, slots=True, eq=False)
class SparseScores:
    """The same for a large catalogue: values of the items that the history names, 0 for others."""

    rows_N: Rows
    """Ascending, each once."""
    values_N: Floats
    known_size: float | None = None
    """See `DenseScores`."""

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def largest_size(self) -> float:
        """See `DenseScores`."""
        if self.known_size is not None:
            return self.known_size
        return float(np.abs(self.values_N).max(initial=0))

    @property
    def laid_out(self) -> LaidOut:
        """See `DenseScores`."""
        return self.rows_N, self.values_N

    def at(self, rows_C: Rows) -> Floats:
        """See `DenseScores`."""
        if not len(self):
            return np.zeros(rows_C.shape, dtype=np.float32)
        place_C = self.rows_N.searchsorted(rows_C)
        np.minimum(place_C, len(self) - 1, out=place_C)
        value_C: Floats = self.values_N[place_C]
        value_C[self.rows_N[place_C] != rows_C] = 0
        return value_C

    def between(self, start: int, stop: int) -> Floats:
        """See `DenseScores`."""
        value_C = np.zeros(stop - start, dtype=np.float32)
        first, last = self.rows_N.searchsorted((start, stop))
        value_C[self.rows_N[first:last] - start] = self.values_N[first:last]
        return value_C

    def largest(self, count: int) -> Rows:
        """See `DenseScores`."""
        places = top_places(self.values_N, 0, count)
        return self.rows_N[places[self.values_N[places] > 0]]

    def deviation(self, num_items: int) -> float:
        """See `DenseScores`."""
        mean = self.values_N.sum(dtype=np.float64) / num_items
        square = np.square(self.values_N, dtype=np.float64).sum() / num_items
        return float(np.sqrt(max(square - mean**2, 0.0)))

    def times(self, factor: float) -> "ItemItemScores":
        """See `DenseScores`."""
        return SparseScores(self.rows_N, self.values_N * np.float32(factor))

    def mean_with(self, other: "ItemItemScores") -> "ItemItemScores":
        """See `DenseScores`."""
        if isinstance(other, DenseScores):
            return other.mean_with(self)
        rows_E = np.concatenate([self.rows_N, other.rows_N])
        values_E: Floats = np.concatenate([self.values_N, other.values_N]) * np.float32(0.5)
        return _sorted_sums(rows_E, values_E)


ItemItemScores = DenseScores | SparseScores

NO_SCORES = SparseScores(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32))
"""Of a history that says nothing."""


@dataclass(frozen=True, eq=False)
class ItemItemModel:
    """W in compressed sparse rows; mapped from disk where the artifact is."""

    offsets: NDArray[np.integer]
    """Entries of item h are those in [offsets[h], offsets[h + 1])."""
    items: NDArray[np.integer]
    weights: Floats
    deviation: float | None = None
    """What the scores of a history are brought to; None leaves them as they are."""

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]], deviation: float | None) -> Self:
        """From the tensors of an artifact; ArtifactError if they are no matrix of its items."""
        offsets, items, weights = (np.asarray(tensors[name]) for name in _TENSORS)
        num_items = len(offsets) - 1
        whole = offsets[0] == 0 and offsets[-1] == len(items) == len(weights)
        if not whole or (np.diff(offsets) < 0).any():
            raise ArtifactError("the item-item model's parts do not fit together; export it again")
        if len(items) and not 0 <= items.min() <= items.max() < num_items:
            raise ArtifactError("the item-item model names items that are not; export it again")
        if not np.isfinite(weights.sum(dtype=np.float64)):  # a sum of 64 bits hides no NaN
            raise ArtifactError("a weight of the item-item model is not finite; export it again")
        return cls(offsets, items, weights, deviation)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors of an artifact, from arrays of any number type."""
        parts = (self.offsets, self.items, self.weights)
        return {
            name: np.asarray(part, dtype=dtype)
            for (name, dtype), part in zip(_TENSORS.items(), parts, strict=True)
        }

    def of_history(self, rows_H: NDArray[np.integer], recency_power: float) -> ItemItemScores:
        """What a history, oldest first, adds to items."""
        return self.history_scores(rows_H, recency_power).scores

    def history_scores(self, rows_H: NDArray[np.integer], recency_power: float) -> "HistoryScores":
        """The same, and what it is made of."""
        if not len(self.items) or not len(rows_H) or self.deviation == 0:
            return HistoryScores.none(rows_H)
        share_H = recency_shares(len(rows_H), recency_power)
        if (compiled := kernels()) is not None and self._compressed is not None:
            made = compiled.sums(self._compressed, rows_H, share_H, self.deviation, _COUNTED_ITEMS)
            rows_N, values_N = made.sums
            scores = (
                DenseScores(values_N, made.largest)
                if rows_N is None
                else SparseScores(rows_N, values_N, made.largest)
            )
            return HistoryScores(scores, made.items_E, made.values_E, made.end_H, made.factor)
        place_E, length_H = self._places(rows_H)
        item_E = self.items.take(place_E)
        value_E = self.weights.take(place_E) * np.repeat(share_H, length_H)
        found = self._sums(item_E, value_E)
        factor = self._factor(found)
        return HistoryScores(found.times(factor), item_E, value_E, length_H.cumsum(), factor)

    @cached_property
    def _compressed(self) -> CompressedRows | None:
        """For the compiled functions; None if numbers are of other types than an artifact holds."""
        parts = self.offsets, self.items, self.weights
        if any(each.dtype != of for each, of in zip(parts, _TENSORS.values(), strict=True)):
            return None
        return CompressedRows.of(*parts)

    def _factor(self, found: ItemItemScores) -> float:
        """What brings the sums of a history to `deviation`; 0 if they are all alike."""
        if self.deviation is None:
            return 1.0
        spread = found.deviation(len(self.offsets) - 1)
        return self.deviation / spread if spread > 0 else 0.0

    def _sums(self, item_E: NDArray[np.integer], value_E: Floats) -> ItemItemScores:
        """Of the weighted entries of a history."""
        num_items = len(self.offsets) - 1
        if num_items > max(_SUMMED_ITEMS, len(item_E)):
            return _sorted_sums(item_E, value_E)
        value_I = np.bincount(item_E, value_E, minlength=num_items)
        if num_items <= max(_COUNTED_ITEMS, len(item_E)):
            return DenseScores(value_I.astype(np.float32))
        is_named_I = np.zeros(num_items, dtype=np.bool_)
        is_named_I[item_E] = True
        rows_N = np.flatnonzero(is_named_I)
        return SparseScores(rows_N, value_I.take(rows_N).astype(np.float32))

    def _places(self, rows_H: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the entries of some items lie, one item after the other; how many each has.

        An item that came after the model was made has none.
        """
        start_H = self.offsets.take(rows_H, mode="clip")
        length_H = self.offsets.take(rows_H + 1, mode="clip") - start_H
        end_H = length_H.cumsum()
        num_entries = int(end_H[-1]) if len(end_H) else 0
        return np.arange(num_entries) + np.repeat(start_H - end_H + length_H, length_H), length_H


@dataclass(frozen=True, slots=True, eq=False)
class HistoryScores:
    """What a history adds to items, and the entries of W that it is the sum of."""

    scores: ItemItemScores
    items_E: NDArray[np.integer]
    """The entries of one item of the history after those of another, oldest first."""
    values_E: Floats
    """Times the history item's share; `factor` times their sums are the scores."""
    end_H: NDArray[np.integer]
    """Where the entries of each item of the history end."""
    factor: float

    @classmethod
    def none(cls, rows_H: NDArray[np.integer]) -> Self:
        """Of a history whose items have no entries."""
        end_H = np.zeros_like(rows_H)
        return cls(NO_SCORES, NO_SCORES.rows_N, NO_SCORES.values_N, end_H, 0.0)

    def parts(self, rows_R: Rows, newest: int) -> "Parts":
        """What each of the newest items of the history adds to some different items."""
        first = max(0, len(self.end_H) - newest)
        start = int(self.end_H[first - 1]) if first else 0
        item_E, value_E = self.items_E[start:], self.values_E[start:]
        end_H = self.end_H[first:] - start
        if isinstance(self.scores, DenseScores):
            num_items = len(self.scores.value_I)
            slot_R, slot_E, slots = np.minimum(rows_R, num_items), item_E, num_items + 1
        else:
            slots = _slots(rows_R)
            slot_R, slot_E = rows_R & (slots - 1), item_E & (slots - 1)
        place_S = np.zeros(slots, dtype=np.min_scalar_type(len(rows_R)))
        place_S[slot_R] = np.arange(1, len(rows_R) + 1)
        place_E = place_S.take(slot_E)
        hit_N = place_E.nonzero()[0]  # most entries name none of the items
        place_N = place_E.take(hit_N).astype(np.intp) - 1
        value_N = value_E.take(hit_N)
        if slot_E is not item_E:
            value_N *= rows_R.take(place_N) == item_E.take(hit_N)
        return Parts(place_N, end_H.searchsorted(hit_N, side="right"), value_N, self.factor)


def _slots(rows_R: Rows) -> int:
    """A power of two of which no two of some different rows have the same remainder."""
    slots = _SLOTS
    while len(set((rows_R & (slots - 1)).tolist())) < len(rows_R):
        slots *= 2
    return slots


class Parts(NamedTuple):
    """What single items of a history add to the items of a list, where that is not nothing."""

    place_N: Rows
    """Of the item of the list."""
    teller_N: Rows
    """Of the item of the history, among those that were asked for."""
    value_N: Floats
    factor: float
    """Times which the values are what is added."""


def dense_parts(parts: Sequence[Parts], num_items: int, num_tellers: int) -> Floats:
    """The parts of Q histories for the R items of a list each [Q, R, H]."""
    size = num_items * num_tellers
    cells = [
        each.place_N * num_tellers + each.teller_N + number * size
        for number, each in enumerate(parts)
    ]
    values = [each.value_N for each in parts]
    part_C = np.bincount(np.concatenate(cells), np.concatenate(values), minlength=len(parts) * size)
    part_QRH = part_C.astype(np.float32).reshape(len(parts), num_items, num_tellers)
    part_QRH *= np.array([each.factor for each in parts], dtype=np.float32)[:, None, None]
    return part_QRH


@lru_cache(_KEPT_SHARES)
def recency_shares(num_items: int, recency_power: float) -> Floats:
    """What each item of a history counts for, oldest first; 1 in sum. Not to be written to."""
    weight_H = recency_weights(np.arange(num_items)[::-1], recency_power)
    share_H: Floats = weight_H / weight_H.sum() if num_items else weight_H
    return share_H


def _sorted_sums(rows_E: NDArray[np.integer], values_E: Floats) -> SparseScores:
    """The sums of the values of each row.

    Row and place are sorted as one number: a third faster than sorting places by row.
    """
    if not len(rows_E):
        return NO_SCORES
    key_E = np.sort(rows_E.astype(np.int64) << 32 | np.arange(len(rows_E)))
    row_E = key_E >> 32
    starts_E = np.empty(len(row_E), dtype=np.bool_)
    starts_E[0] = True
    np.not_equal(row_E[1:], row_E[:-1], out=starts_E[1:])
    first_N = np.flatnonzero(starts_E)
    values_N = np.add.reduceat(values_E.astype(np.float64)[key_E & _LOW_WORD], first_N)
    return SparseScores(row_E[first_N], values_N.astype(np.float32))


AddTo = Callable[[Floats, int], None]
"""Adds item-item scores to the similarities [B, C] of the block of rows that begins at a row."""


def added_by_block(scores: Sequence[ItemItemScores], num_items: int, step: int) -> AddTo:
    """The item-item scores of B users, laid out once for blocks of `step` rows."""
    sparse = [each for each in scores if isinstance(each, SparseScores)]
    if len(sparse) == len(scores):
        return _sparse_by_block(sparse, num_items, step)
    values = [each.between(0, num_items) for each in scores]

    def add_to(similarity_BC: Floats, start: int) -> None:
        stop = start + similarity_BC.shape[1]
        for similarity_C, value_I in zip(similarity_BC, values, strict=True):
            similarity_C += value_I[start:stop]

    return add_to


def _sparse_by_block(scores: Sequence[SparseScores], num_items: int, step: int) -> AddTo:
    """A block costs one addition, however many users share it."""
    row_E = np.concatenate([each.rows_N for each in scores])
    value_E = np.concatenate([each.values_N for each in scores])
    user_E = np.repeat(np.arange(len(scores)), [len(each) for each in scores])
    block_E, place_E = np.divmod(row_E, step)
    num_blocks = -(-num_items // step)
    if len(scores) > 1:  # numbers of 16 bits are sorted by their digits
        order_E = np.argsort(
            block_E.astype(np.int16 if num_blocks < 2**15 else np.int32), kind="stable"
        )
        block_E, place_E = block_E[order_E], place_E[order_E]
        value_E, user_E = value_E[order_E], user_E[order_E]
    starts = block_E.searchsorted(np.arange(num_blocks + 1)).tolist()

    def add_to(similarity_BC: Floats, start: int) -> None:
        block = start // step
        part = slice(starts[block], starts[block + 1])
        if part.start < part.stop:
            similarity_BC[user_E[part], place_E[part]] += value_E[part]

    return add_to
