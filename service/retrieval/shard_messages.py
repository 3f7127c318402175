"""What shards of a catalogue tell each other: queries for the rows of one, and its best items.

Rows count from the shard's first one in queries, and are those of the catalogue in answers. A
message is a file of safetensors: arrays by name, and no code.

Letters: I items of the shard, Q queries, E entries of all of them, N items found, V views,
M modalities, D dimension, K experts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.runtime.item_item import ItemItemScores, SparseScores
from model.runtime.profile import Profile
from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.retrieval.query import Eligible, Floats, Query, Ranked

Arrays = dict[str, NDArray[Any]]


class BadMessage(ValueError):
    """What another process has sent is no message to this shard; the text says why."""


def pack(arrays: Arrays) -> bytes:
    """The bytes of some arrays."""
    from safetensors.numpy import save  # noqa: PLC0415  # only a sharded catalogue needs it

    return save(arrays)


def unpack(data: bytes) -> Arrays:
    """The arrays of some bytes; BadMessage."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadMessage(f"these are no arrays: {error}") from error


def part_of(query: Query, rows: slice) -> Query:
    """A query for some rows of the catalogue, which count from 0 again."""
    return replace(
        query,
        profile=profile_for(query.profile, rows),
        eligible=_eligible(query.eligible, rows),
        points_I=None if query.points_I is None else query.points_I[rows],
    )


def profile_for(profile: Profile, rows: slice) -> Profile:
    """What scores some rows of the catalogue, which count from 0 again."""
    return Profile(profile.vector_VMD, _item_item(profile.item_item, rows))


def _item_item(scores: ItemItemScores, rows: slice) -> SparseScores:
    if isinstance(scores, SparseScores):
        first, last = scores.rows_N.searchsorted((rows.start, rows.stop))
        return SparseScores(scores.rows_N[first:last] - rows.start, scores.values_N[first:last])
    value_I = scores.between(rows.start, rows.stop)
    named_N = value_I.nonzero()[0]
    return SparseScores(named_N, value_I[named_N])


def _eligible(eligible: Eligible, rows: slice) -> Eligible:
    num_items = rows.stop - rows.start
    if eligible.only is not None:
        first, last = eligible.only.searchsorted((rows.start, rows.stop))
        none = np.empty(0, dtype=np.intp)
        return Eligible(num_items, none, [eligible.only[first:last] - rows.start])
    out = eligible.left_out
    return Eligible(num_items, out[(out >= rows.start) & (out < rows.stop)] - rows.start)


def queries_sent(queries: Sequence[Query], rows: slice) -> bytes:
    """Queries for some rows of the catalogue, see `part_of`."""
    parts = [part_of(query, rows) for query in queries]
    item_item = [_item_item(query.profile.item_item, rows) for query in queries]
    arrays: Arrays = {
        "rows": np.array([rows.start, rows.stop]),
        "vectors": np.array([part.profile.vector_VMD for part in parts]),
        "counts": np.array([part.count for part in parts]),
        "above": np.array([part.above for part in parts]),
        "popularity": np.array([part.popularity for part in parts]),
    }
    arrays |= _ragged("said_rows", [each.rows_N.astype(np.int32) for each in item_item])
    arrays |= _ragged("said", [each.values_N for each in item_item])
    arrays |= _ragged("out", [part.eligible.left_out.astype(np.int32) for part in parts])
    for place, part in enumerate(parts):
        if part.eligible.only is not None:
            arrays[f"mask_{place}"] = np.packbits(part.eligible.mask_I)
        if part.points_I is not None and not part.popularity:
            arrays[f"points_{place}"] = np.ascontiguousarray(part.points_I)
    return pack(arrays)


def queries_received(
    data: bytes, rows: slice, shape_VMD: tuple[int, ...], popularity_bias_I: Floats
) -> list[Query]:
    """The queries of a message to the shard of these rows; BadMessage.

    Args:
        data: the message.
        rows: of the shard.
        shape_VMD: of a user's vector.
        popularity_bias_I: of the shard's items.
    """
    arrays = unpack(data)
    try:
        if arrays["rows"].tolist() != [rows.start, rows.stop]:
            raise BadMessage(f"it is for rows {arrays['rows'].tolist()}, this is the shard {rows}")
        if arrays["vectors"].shape[1:] != shape_VMD:
            raise BadMessage("its vectors are not those of users of this model")
        return [
            _received(arrays, place, popularity_bias_I) for place in range(len(arrays["vectors"]))
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise BadMessage(f"an array is missing or too short: {error}") from error


def _received(arrays: Arrays, place: int, popularity_bias_I: Floats) -> Query:
    num_items = len(popularity_bias_I)
    said_rows, said, out = (_part(arrays, name, place) for name in ("said_rows", "said", "out"))
    if len(said_rows) != len(said) or (np.diff(said_rows) <= 0).any():
        raise BadMessage("its item-item scores are not in the order of their rows")
    for each in (said_rows, out):
        if len(each) and not 0 <= each.min() <= each.max() < num_items:
            raise BadMessage("it names rows that are not of this shard")
    within_I = None
    if f"mask_{place}" in arrays:
        within_I = np.unpackbits(arrays[f"mask_{place}"], count=num_items).astype(np.bool_)
    popularity = float(arrays["popularity"][place])
    points_I: Floats | None = arrays.get(f"points_{place}")
    if popularity:
        points_I = np.float32(popularity) * popularity_bias_I
    if points_I is not None and points_I.shape != (num_items,):
        raise BadMessage("its points are not those of this shard's items")
    item_item = SparseScores(said_rows.astype(np.intp), said.astype(np.float32))
    vector_VMD = arrays["vectors"][place].astype(np.float32)
    return Query(
        Profile(vector_VMD, item_item),
        Eligible(num_items, out.astype(np.intp), within_I=within_I),
        max(1, int(arrays["counts"][place])),
        points_I,
        float(arrays["above"][place]),
        popularity,
    )


def found_sent(found: Sequence[Ranked], first_row: int) -> bytes:
    """The answers to queries; rows are those of the catalogue, to which the shard's are added."""
    arrays: Arrays = _ragged("rows", [each.rows + first_row for each in found])
    arrays |= _ragged("scores", [each.scores for each in found])
    broken_down = [each.breakdown for each in found if each.breakdown is not None]
    if len(broken_down) == len(found):
        arrays["weights"] = np.concatenate([each.weight_CK for each in broken_down])
        arrays["contributions"] = np.concatenate([x.contribution_CKVM for x in broken_down])
    return pack(arrays)


def found_received(data: bytes) -> list[Ranked]:
    """The inverse of `found_sent`; BadMessage."""
    arrays = unpack(data)
    try:
        starts = np.append(0, arrays["rows_ends"]).tolist()
        found: list[Ranked] = []
        for place, start in enumerate(starts[:-1]):
            own = slice(start, starts[place + 1])
            breakdown = None
            if "weights" in arrays:
                breakdown = Breakdown(
                    weight_CK=arrays["weights"][own], contribution_CKVM=arrays["contributions"][own]
                )
            rows: Rows = arrays["rows"][own]
            found.append(Ranked(rows, arrays["scores"][own], breakdown))
    except KeyError as error:
        raise BadMessage(f"an array is missing: {error}") from error
    return found


def _ragged(name: str, parts: Sequence[NDArray[Any]]) -> Arrays:
    """Arrays of different lengths, one after the other, and where each ends."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return {name: np.concatenate(parts), f"{name}_ends": ends}


def _part(arrays: Arrays, name: str, place: int) -> NDArray[Any]:
    ends = arrays[f"{name}_ends"]
    return arrays[name][ends[place - 1] if place else 0 : ends[place]]
