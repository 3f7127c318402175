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
from typing import Any, NamedTuple

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
Model = tuple[NDArray[np.integer], NDArray[np.integer], Floats]
"""The item-item model: offsets, items and weights of its entries."""

_logger = logging.getLogger(__name__)


class _Said(ctypes.Structure):
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
        *((name, _POINTER) for name in ("vectors", "said")),
        ("num_users", _LONG),
        *((name, _POINTER) for name in ("numbers", "start", "step", "less")),
    )


class _Pairs(ctypes.Structure):
    _fields_ = (
        *((x, _POINTER) for x in ("items", "routing", "unit", "evidence", "rows", "lengths")),
        *((x, _LONG) for x in ("num_items", "num_users", "num_pairs")),
        *((x, _LONG) for x in ("num_channels", "width", "num_routing")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("offsets", "items", "weights")),
        ("num_items", _LONG),
    )


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
        *((name, _LONG) for name in ("num_rows", "num_shown", "num_history", "num_voices")),
        ("factor", _FLOAT),
    )


class Room(ctypes.Structure):
    """`struct reasons` of `reasons.c`."""

    _fields_ = (
        *((name, _POINTER) for name in ("rows", "shares", "first", "scale", "scaled", "points")),
        *((name, _POINTER) for name in ("parts", "unit", "slots")),
        ("num_slots", _LONG),
    )


class _Pieces(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("codes", "numbers", "texts", "starts")),
        *((name, _LONG) for name in ("num_rows", "num_codes", "num_numbers")),
    )


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


class Kernels:
    """A compiled copy of the C files."""

    def __init__(self, path: str) -> None:
        """OSError if it cannot be loaded."""
        self._library = ctypes.CDLL(path)
        for name, result, takes in (
            ("can_bound", ctypes.c_int, ()),
            ("bound_items", None, (_POINTER,) * 3 + (_LONG,)),
            ("about_highest", _FLOAT, (_POINTER, _LONG, _LONG)),
            ("at_least", _LONG, (_POINTER, _LONG, _FLOAT, _POINTER, _LONG)),
            ("cosines", ctypes.c_int, (_POINTER,) * 3),
            ("ends_of_entries", None, (_POINTER, _POINTER, _LONG, _POINTER)),
            ("find_reasons", ctypes.c_int, (_POINTER, _POINTER, _LONG, _POINTER)),
            ("join", ctypes.c_int, (_POINTER,) * 3),
            ("most_bytes", _LONG, (_POINTER,)),
            ("sum_dense", _DOUBLE, (_POINTER, _POINTER, _DOUBLE, _POINTER, _POINTER)),
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
        said = (_Said * num_users)(*map(_said, item_item))
        users = _Users(
            address(users_BVMD),
            ctypes.addressof(said),
            num_users,
            *map(address, (numbers, *steps, less_B)),
        )
        given = ctypes.byref(items), ctypes.byref(users), address(bound_BI), bound_BI.shape[1]
        self._library.bound_items(*given)
        return less_B

    def about_highest(self, number_I: Floats, count: int) -> float:
        """A number that about `count` of them reach; -inf if none of them is finite."""
        about: float = self._library.about_highest(address(number_I), len(number_I), count)
        return about

    def at_least(self, number_I: Floats, least: float | np.floating) -> Rows:
        """Rows of numbers of at least `least`, ascending."""
        rows = np.empty(_USUALLY, dtype=np.int64)
        while True:
            found = self._library.at_least(
                address(number_I), len(number_I), least, address(rows), len(rows)
            )
            if found <= len(rows):
                return rows[:found]
            rows = np.empty(found, dtype=np.int64)

    def cosines(
        self,
        items_IVMD: Floats,
        routing_IJ: Floats,
        users: tuple[Floats, Floats],
        rows: Sequence[Rows],
    ) -> tuple[Floats, Floats]:
        """Cosines [G, P] of users with items of their own, and the routing evidence of both [J, P].

        Args:
            items_IVMD: embeddings of all items.
            routing_IJ: their routing evidence.
            users: the users' rows at unit length [G, B, D], and their routing evidence [J, B].
            rows: of each user's items.
        """
        unit_GBD, evidence_JB = map(np.ascontiguousarray, users)
        num_channels, num_users, width = unit_GBD.shape
        rows_P = np.concatenate(rows).astype(np.int64, copy=False)
        length_B = np.array([len(rows_C) for rows_C in rows])
        cosine_GP = np.empty((num_channels, len(rows_P)), dtype=np.float32)
        routing_JP = np.empty((routing_IJ.shape[1], len(rows_P)), dtype=np.float32)
        arrays = items_IVMD, routing_IJ, unit_GBD, evidence_JB, rows_P, length_B
        sizes = len(items_IVMD), num_users, len(rows_P), num_channels, width, len(routing_JP)
        pairs = _Pairs(*map(address, arrays), *sizes)
        given = ctypes.byref(pairs), address(cosine_GP), address(routing_JP)
        if self._library.cosines(*given):
            raise IndexError(f"a row is none of {len(items_IVMD)} items")
        return cosine_GP, routing_JP

    def sums(
        self,
        model: Model,
        rows_H: NDArray[np.integer],
        share_H: Floats,
        deviation: float | None,
        most: int,
    ) -> Entries:
        """What a history adds to items, brought to a standard deviation.

        Args:
            model: of int64, int32 and float32.
            rows_H: the items of the history.
            share_H: what each counts for.
            deviation: None leaves the sums as they are.
            most: items of a catalogue of which each has a value, or as many as there are entries.
        """
        num_items = len(model[0]) - 1
        rows_H = np.ascontiguousarray(rows_H, dtype=np.int64)
        end_H = np.empty(len(rows_H), dtype=np.int64)
        compressed = _Model(*map(address, model), num_items)
        at_model = ctypes.byref(compressed)
        self._library.ends_of_entries(at_model, address(rows_H), len(rows_H), address(end_H))
        num_entries = int(end_H[-1])
        items_E = np.empty(num_entries, dtype=np.int32)
        values_E = np.empty(num_entries, dtype=np.float32)
        history = _History(*map(address, (rows_H, share_H, end_H)), len(rows_H), address(items_E))
        history.values = address(values_E)
        given = at_model, ctypes.byref(history), -1.0 if deviation is None else deviation
        if num_items <= max(most, num_entries):
            room = np.zeros(num_items)
            value_I = np.empty(num_items, dtype=np.float32)
            factor = self._library.sum_dense(*given, address(room), address(value_I))
            return Entries(items_E, values_E, end_H, (None, value_I), factor)
        words = np.zeros((2, num_items // 64 + 1), dtype=np.uint64)
        room = np.zeros(num_entries)
        rows_N = np.empty(num_entries, dtype=np.int64)
        values_N = np.empty(num_entries, dtype=np.float32)
        made = _DOUBLE()
        rooms = *map(address, (*words, room, rows_N, values_N)), ctypes.byref(made)
        found = self._library.sum_sparse(*given, *rooms)
        return Entries(items_E, values_E, end_H, (rows_N[:found], values_N[:found]), made.value)

    def joined(
        self, code_CS: NDArray[np.int32], number_CN: NDArray[np.float64], texts: Sequence[bytes]
    ) -> tuple[memoryview, NDArray[np.int64]] | None:
        """See `model.runtime.native.join`; None if a number is too large to be written."""
        text = b"".join(texts)
        starts = np.array([0, *accumulate(map(len, texts))])
        arrays = map(address, (code_CS, number_CN))
        sizes = (*code_CS.shape, number_CN.shape[1])
        at_text = ctypes.cast(ctypes.c_char_p(text), _POINTER)
        pieces = ctypes.byref(_Pieces(*arrays, at_text, address(starts), *sizes))
        room = np.empty(self._library.most_bytes(pieces), dtype=np.uint8)
        end_C = np.empty(len(code_CS), dtype=np.int64)
        if self._library.join(pieces, address(room), address(end_C)):
            return None
        return room.data, end_C

    def find_reasons(self, catalogue: Catalogue, lists: int, num_lists: int, room: Room) -> bool:
        """See `model.runtime.native.reasons`; true if a row is none of the items'."""
        given = ctypes.byref(catalogue), lists, num_lists, ctypes.byref(room)
        return bool(self._library.find_reasons(*given))


def address(array: Any) -> int:
    """Where an array's numbers begin. What can be written to tells it in a fifth of the time."""
    try:
        return ctypes.addressof(_ANY.from_buffer(array))
    except TypeError:
        assert array.flags.c_contiguous
        address: int = array.__array_interface__["data"][0]
        return address


def _said(scores: LaidOut) -> _Said:
    rows, values = scores
    if rows is None:
        return _Said(address(values), None, None, 0)
    return _Said(None, address(rows), address(values), len(rows))


def aligned(shape: Sequence[int], dtype: Any) -> NDArray[Any]:
    """New memory that begins where a line of a processor's cache does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, dtype=np.uint8)
    first = -address(room) % 64
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
