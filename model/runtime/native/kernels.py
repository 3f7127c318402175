"""The functions of the C files, on numpy arrays.

`kernels()` is None where they have not been built. Callers then use numpy and onnxruntime, with the
same answers. The lock of Python is not held meanwhile.

Letters: I items, B users, G channels, D dimension, P pairs, J routing channels, L lanes.
"""

import ctypes
import logging
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.build import library
from model.runtime.top_k import Rows

Floats = NDArray[np.float32]

LANES = 16
"""Items of a block."""
TILE_ITEMS = 4 * LANES
"""What the number of items is rounded up to."""
MOST_USERS, MOST_WIDTH = 64, 1024
"""As in `bounds.c`."""
_USUALLY = 1_024
"""Rows that most searches find; where there are more, they are searched again."""
_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_ANY = ctypes.c_char * 0
_FLOAT, _DOUBLE = ctypes.c_float, ctypes.c_double

LaidOut = tuple[Rows | None, Floats]
"""Item-item scores: some rows and their values, or no rows and a value for each item."""

_logger = logging.getLogger(__name__)


class _ItemItem(ctypes.Structure):
    _fields_ = (("dense", _POINTER), ("rows", _POINTER), ("values", _POINTER), ("count", _LONG))


class Items(ctypes.Structure):
    """Items in 8 bits, see `bounds.c`."""

    _fields_ = (
        *((name, _POINTER) for name in ("blocks", "added", "axes", "lengths", "steps")),
        *((name, _LONG) for name in ("num_items", "num_views", "num_modalities")),
        *((name, _LONG) for name in ("own_width", "width")),
        *((name, _FLOAT) for name in ("least", "rest")),
    )


class _Users(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("vectors", "item_item")),
        ("num_users", _LONG),
        *((name, _POINTER) for name in ("numbers", "start", "step", "less")),
    )


class _Wanted(ctypes.Structure):
    _fields_ = (
        ("numbers", _POINTER),
        *((name, _LONG) for name in ("stride", "size", "num_users")),
        *((name, _POINTER) for name in ("out", "ends", "counts", "least", "rows")),
        ("most", _LONG),
        ("sizes", _POINTER),
    )


class _Pairs(ctypes.Structure):
    _fields_ = (
        *((x, _POINTER) for x in ("items", "routing", "bias", "unit", "evidence", "rows")),
        *((x, _POINTER) for x in ("lengths", "item_item")),
        *((x, _LONG) for x in ("num_items", "num_users", "num_pairs")),
        *((x, _LONG) for x in ("num_channels", "width", "num_routing")),
    )


class _Made(ctypes.Structure):
    _fields_ = tuple((name, _POINTER) for name in ("cosine", "routing", "item_item", "bias"))


class _Scaled(ctypes.Structure):
    _fields_ = (("factor", _DOUBLE), ("largest", _FLOAT))


class CompressedRows(ctypes.Structure):
    """`struct model` of `item_item.c`, made once for all requests."""

    _fields_ = (
        *((name, _POINTER) for name in ("offsets", "items", "weights")),
        ("num_items", _LONG),
    )
    kept: tuple[NDArray[Any], ...]
    """What it points at."""

    @classmethod
    def of(cls, offsets: NDArray[np.integer], items: NDArray[np.integer], weights: Floats) -> Self:
        """Of entries, whose numbers are int64, int32 and float32."""
        made = cls(*map(address, (offsets, items, weights)), len(offsets) - 1)
        made.kept = offsets, items, weights
        return made


class _History(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("rows", "shares", "ends")),
        ("size", _LONG),
        *((name, _POINTER) for name in ("items", "values")),
    )


class Catalogue(ctypes.Structure):
    """`struct catalogue` of `reasons.c`."""

    _fields_ = (
        *((name, _POINTER) for name in ("items", "foldin", "lengths")),
        *((name, _LONG) for name in ("num_items", "num_channels", "width")),
        *((f"least_{number}", _FLOAT) for number in range(4)),
    )


class ListOfItems(ctypes.Structure):
    """`struct list` of `reasons.c`."""

    _fields_ = (
        *((name, _POINTER) for name in ("rows", "history", "shares", "user", "contribution")),
        *((name, _POINTER) for name in ("item_item", "entries", "values", "ends")),
        *((name, _LONG) for name in ("num_rows", "num_shown", "num_history", "num_newest")),
        ("factor", _FLOAT),
    )


class Room(ctypes.Structure):
    """`struct reasons` of `reasons.c`."""

    _fields_ = (
        *((name, _POINTER) for name in ("rows", "shares", "first", "scale", "scaled", "points")),
        *((name, _POINTER) for name in ("parts", "unit", "slots")),
        ("num_slots", _LONG),
    )


class _TextRows(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("pieces", "texts", "own", "numbers")),
        *((x, _LONG) for x in ("num_pieces", "num_texts", "num_rows", "num_own", "num_numbers")),
        ("first", _LONG),
        ("starts", _POINTER),
    )


class _Scores(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("weights", "contributions", "bias", "popularity")),
        *((x, _LONG) for x in ("num_scores", "num_experts", "num_views", "num_modalities")),
    )


class _Parts(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("experts", "views", "modalities", "channels")),
        *((name, _POINTER) for name in ("largest", "order", "sorted", "places")),
    )


class PartSums(NamedTuple):
    """What adds up to scores, see `parts.c`."""

    expert_CK: Floats
    view_CV: Floats
    modality_CM: Floats
    channel_CG: Floats
    largest_C: NDArray[np.int64]
    order_CK: NDArray[np.int32]


class PairInputs(NamedTuple):
    """What the scores of pairs are made of."""

    cosine_GP: Floats
    routing_JP: Floats
    """Routing evidence of both sides."""
    item_item_P: Floats
    bias_P: Floats


class Entries(NamedTuple):
    """The entries of a history, one item after the other, and their sums."""

    items_E: NDArray[np.int32]
    values_E: Floats
    """Times the item's share."""
    end_H: NDArray[np.int64]
    """Of each item's entries."""
    sums: LaidOut
    """Times the factor."""
    factor: float
    largest: float
    """Of the sums, of either sign."""


class Kernels:
    """A compiled copy of the C files."""

    def __init__(self, path: str) -> None:
        """OSError if it cannot be loaded."""
        self._library = ctypes.CDLL(path)
        for name, result, takes in (
            ("can_bound", ctypes.c_int, ()),
            ("bound_items", None, (_POINTER,) * 3 + (_LONG,)),
            ("best_places", None, (_POINTER, _POINTER, _POINTER, _LONG, _POINTER)),
            ("make_pairs", ctypes.c_int, (_POINTER,) * 2),
            ("pick", None, (_POINTER,)),
            ("ends_of_entries", _LONG, (_POINTER, _POINTER)),
            ("find_reasons", ctypes.c_int, (_POINTER, _POINTER, _LONG, _POINTER)),
            ("join", ctypes.c_int, (_POINTER,) * 3),
            ("most_bytes", _LONG, (_POINTER,)),
            ("sum_parts", None, (_POINTER,) * 2),
            ("sum_dense", None, (_POINTER, _POINTER, _DOUBLE, *(_POINTER,) * 3)),
            ("sum_sparse", _LONG, (_POINTER, _POINTER, _DOUBLE, *(_POINTER,) * 6)),
        ):
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, takes

    def can_bound(self) -> bool:
        """Whether the processor has the instructions of `bounds`."""
        return bool(self._library.can_bound())

    def bounds(
        self, items: Items, users_BVMD: Floats, item_item: Sequence[LaidOut], bound_BI: Floats
    ) -> Floats:
        """Bounds for at most `MOST_USERS` users, less what is to be added to each's [B].

        Args:
            items: of the model.
            users_BVMD: the users' rows, of any length.
            item_item: their item-item scores; rows ascend.
            bound_BI: where the bounds go; I is rounded up to whole tiles.
        """
        num_users = len(users_BVMD)
        num_channels = items.num_views * items.num_modalities
        users_BVMD = np.ascontiguousarray(users_BVMD)
        numbers = np.empty(num_users * num_channels * items.width, dtype=np.int8)
        steps = np.empty((2, num_users * num_channels), dtype=np.float32)
        less_B = np.empty(num_users, dtype=np.float32)
        scores = (_ItemItem * num_users)(*map(_item_item, item_item))
        users = _Users(
            address(users_BVMD),
            ctypes.addressof(scores),
            num_users,
            *map(address, (numbers, *steps, less_B)),
        )
        given = ctypes.byref(items), ctypes.byref(users), address(bound_BI), bound_BI.shape[1]
        self._library.bound_items(*given)
        return less_B

    def pick(
        self,
        bound_BI: Floats,
        left_out: Sequence[Rows],
        counts: Sequence[int],
        least: Sequence[float] | None = None,
    ) -> list[Rows]:
        """Rows of the highest of each user's bounds, ascending, or of those of at least so much.

        Args:
            bound_BI: what must not be found becomes -inf; rows may lie apart.
            left_out: what must not be found, in any order; others than the items' are skipped.
            counts: about how many of the highest, never fewer than half of that.
            least: what a bound must reach at least where the count is 0.
        """
        num_users, size = bound_BI.shape
        out = _one_after_the_other(left_out)
        end_B = np.array([*accumulate(map(len, left_out))])
        count_B = np.array(counts)
        least_B = np.zeros(num_users, dtype=np.float32) if least is None else _floats(least)
        size_B = np.empty(num_users, dtype=np.int64)
        most = _USUALLY
        while True:
            rows_BN = np.empty((num_users, most), dtype=np.int64)
            given = *map(address, (out, end_B, count_B, least_B, rows_BN)), most, address(size_B)
            stride = bound_BI.strides[0] // bound_BI.itemsize
            sizes = stride, size, num_users
            self._library.pick(ctypes.byref(_Wanted(bound_BI.ctypes.data, *sizes, *given)))
            if (largest := int(size_B.max())) <= most:
                return [
                    rows_N[:size] for rows_N, size in zip(rows_BN, size_B.tolist(), strict=True)
                ]
            most = largest

    def best_places(self, score_P: Floats, ends: Sequence[int], counts: Sequence[int]) -> Rows:
        """Places of the highest of each user's scores, the highest first; of equals, the lower.

        Args:
            score_P: one user's after the other's.
            ends: where each user's end.
            counts: how many of each are wanted, as many as there are at most.
        """
        end_B, count_B = np.array(ends), np.array(counts)
        places = np.empty(sum(counts), dtype=np.int64)
        given = map(address, (score_P, end_B, count_B))
        self._library.best_places(*given, len(ends), address(places))
        return places

    def pairs(
        self,
        items: tuple[Floats, Floats, Floats],
        users: tuple[Floats, Floats],
        rows: Sequence[Rows],
        item_item: Sequence[LaidOut],
    ) -> PairInputs:
        """What the scores of users' own items are made of.

        Args:
            items: embeddings of all items [I, V, M, D], their routing evidence [I, J], their bias.
            users: the users' rows at unit length [G, B, D], and their routing evidence [J, B].
            rows: of each user's items.
            item_item: each user's item-item scores.
        """
        unit_GBD, evidence_JB = map(np.ascontiguousarray, users)
        num_channels, num_users, width = unit_GBD.shape
        num_items, num_routing = items[1].shape
        rows_P = _one_after_the_other(rows)
        length_B = np.array(list(map(len, rows)))
        made = PairInputs(
            *(
                np.empty((size, len(rows_P)), dtype=np.float32)
                for size in (num_channels, num_routing)
            ),
            *np.empty((2, len(rows_P)), dtype=np.float32),
        )
        scores = (_ItemItem * num_users)(*map(_item_item, item_item))
        arrays = (
            *map(address, (*items, unit_GBD, evidence_JB, rows_P, length_B)),
            ctypes.addressof(scores),
        )
        sizes = num_items, num_users, len(rows_P), num_channels, width, num_routing
        pairs = _Pairs(*arrays, *sizes)
        if self._library.make_pairs(ctypes.byref(pairs), ctypes.byref(_Made(*map(address, made)))):
            raise IndexError(f"a row is none of {num_items} items")
        return made

    def sums(
        self,
        model: CompressedRows,
        rows_H: NDArray[np.integer],
        share_H: Floats,
        deviation: float | None,
        most: int,
    ) -> Entries:
        """What a history adds to items, brought to a standard deviation.

        Args:
            model: whose entries are summed.
            rows_H: the items of the history.
            share_H: what each counts for.
            deviation: None leaves the sums as they are.
            most: items of a catalogue of which each has a value, or as many as there are entries.
        """
        num_items = model.num_items
        rows_H = np.ascontiguousarray(rows_H, dtype=np.int64)
        end_H = np.empty(len(rows_H), dtype=np.int64)
        history = _History(address(rows_H), address(share_H), address(end_H), len(rows_H))
        at_model, at_history = ctypes.byref(model), ctypes.byref(history)
        num_entries = self._library.ends_of_entries(at_model, at_history)
        items_E = np.empty(num_entries, dtype=np.int32)
        values_E = np.empty(num_entries, dtype=np.float32)
        history.items, history.values = address(items_E), address(values_E)
        given = at_model, at_history, -1.0 if deviation is None else deviation
        scaled = _Scaled()
        if num_items <= max(most, num_entries):
            room = np.zeros(num_items)
            value_I = np.empty(num_items, dtype=np.float32)
            arrays = address(room), address(value_I)
            self._library.sum_dense(*given, *arrays, ctypes.byref(scaled))
            return Entries(items_E, values_E, end_H, (None, value_I), scaled.factor, scaled.largest)
        words = np.zeros((2, num_items // 64 + 1), dtype=np.uint64)
        room = np.zeros(num_entries)
        rows_N = np.empty(num_entries, dtype=np.int64)
        values_N = np.empty(num_entries, dtype=np.float32)
        rooms = map(address, (*words, room, rows_N, values_N))
        found = self._library.sum_sparse(*given, *rooms, ctypes.byref(scaled))
        sums = rows_N[:found], values_N[:found]
        return Entries(items_E, values_E, end_H, sums, scaled.factor, scaled.largest)

    def joined(
        self,
        piece_S3: NDArray[np.int32],
        texts: Sequence[bytes],
        num_common: int,
        own_CO: NDArray[np.int32],
        number_CN: NDArray[np.float64],
    ) -> tuple[memoryview, NDArray[np.int64]] | None:
        """See `model.runtime.native.join`; None if a number is too large to be written."""
        text = b"\0".join(texts)
        num_rows, num_own = own_CO.shape
        start_T = np.empty(len(texts) + 1, dtype=np.int64)
        sizes = len(piece_S3), len(texts), num_rows, num_own, number_CN.shape[1]
        at_text = ctypes.cast(ctypes.c_char_p(text), _POINTER)
        arrays = address(piece_S3), at_text, address(own_CO), address(number_CN)
        rows = ctypes.byref(_TextRows(*arrays, *sizes, num_common, address(start_T)))
        room = np.empty(self._library.most_bytes(rows), dtype=np.uint8)
        end_C = np.empty(num_rows, dtype=np.int64)
        if self._library.join(rows, address(room), address(end_C)):
            return None
        return room.data, end_C

    def sum_parts(
        self,
        weight_CK: Floats,
        contribution_CKVM: Floats,
        bias_C: Floats,
        popularity_C: NDArray[np.int64],
    ) -> PartSums:
        """What adds up to scores, as `service.recommend.explanation` says it by numpy."""
        num_scores, num_experts, num_views, num_modalities = contribution_CKVM.shape
        num_parts = num_modalities + 2
        sizes = num_experts, num_views, num_modalities, num_views * num_modalities
        expert_CK, view_CV, modality_CM, channel_CG = (
            np.empty((num_scores, size), dtype=np.float32) for size in sizes
        )
        found = PartSums(
            expert_CK,
            view_CV,
            modality_CM,
            channel_CG,
            np.empty(num_scores, dtype=np.int64),
            np.empty((num_scores, num_experts), dtype=np.int32),
        )
        room = np.empty(num_parts, dtype=np.float32), np.empty(num_parts, dtype=np.int32)
        arrays = map(address, (weight_CK, contribution_CKVM, bias_C, popularity_C))
        scores = _Scores(*arrays, *contribution_CKVM.shape)
        self._library.sum_parts(
            ctypes.byref(scores), ctypes.byref(_Parts(*map(address, (*found, *room))))
        )
        return found

    def find_reasons(self, catalogue: Catalogue, lists: int, num_lists: int, room: Room) -> bool:
        """See `model.runtime.native.reasons`; true if a row is none of the items'."""
        given = ctypes.byref(catalogue), lists, num_lists, ctypes.byref(room)
        return bool(self._library.find_reasons(*given))


def address(array: Any) -> int:
    """Where an array's numbers begin. What can be written to tells it in a fifth of the time.

    Whoever asks holds on to the array, by a name of its own, for as long as the address is used.
    """
    try:
        return ctypes.addressof(_ANY.from_buffer(array))
    except TypeError:
        assert array.flags.c_contiguous
        address: int = array.__array_interface__["data"][0]
        return address


def _one_after_the_other(rows: Sequence[Rows]) -> Rows:
    return np.concatenate(rows).astype(np.int64, copy=False)


def _floats(numbers: Sequence[float]) -> Floats:
    return np.array(numbers, dtype=np.float32)


def _item_item(scores: LaidOut) -> _ItemItem:
    rows, values = scores
    if rows is None:
        return _ItemItem(address(values), None, None, len(values))
    return _ItemItem(None, address(rows), address(values), len(rows))


def aligned(shape: Sequence[int], dtype: Any) -> NDArray[Any]:
    """New memory that begins where a line of a processor's cache does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, dtype=np.uint8)
    first = -room.ctypes.data % 64
    found: NDArray[Any] = room[first : first + size].view(dtype).reshape(shape)
    return found


def kernels() -> Kernels | None:
    """The compiled functions; None where there are none."""
    return _loaded()


@cache
def _loaded() -> Kernels | None:
    path = library()
    try:
        return Kernels(str(path))
    except OSError as error:
        _logger.info("numpy is used in the place of compiled functions: %s", error)
        return None
