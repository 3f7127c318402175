"""The exported head for pairs of users and items of their own, from cosines on.

`explain.onnx` moves the vectors of all items before it multiplies them, which takes longer than all
that follows. So it is cut in two: what it makes of users, and what it makes of cosines. Between
these the cosines are made where the vectors lie. Pairs of several users stand one after the other:
to the graph they are those of one user, whose routing evidence is part of the items'.

Letters: B users, P pairs, V views, M modalities, G = V * M channels, D dimension, K experts,
J routing channels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.runtime.grown import Grown
from model.runtime.item_item import ItemItemScores
from model.runtime.native.kernels import PairInputs

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]
Users = tuple[Floats, Floats]
"""Of a graph: rows at unit length [G, B, D], and routing evidence [J, B]."""

USER_SIDE = ("unit_GBD", "user_JB1")
"""What users' vectors become."""
PAIR_SIDE = ("cosine_GBC", "user_JB1", "item_JXC", "neighbourhood", "item_bias")
"""What scores are made of."""
OUTPUTS = ("score", "weight", "contribution")


class PairGraph:
    """What `explain.onnx` makes of users, and of pairs' cosines."""

    def __init__(self, users: Any, pairs: Any) -> None:
        self._users = users
        self._pairs = pairs

    @classmethod
    def of(cls, explain: bytes, open_session: Callable[[bytes], Any]) -> Self | None:
        """The two parts of a graph; None if it lacks the names: early ones were traced by torch."""
        import onnx  # noqa: PLC0415  # 0.2 s, which only the process that loads a model needs
        from onnx.utils import Extractor  # noqa: PLC0415

        model = onnx.load_from_string(explain)
        made = {name for node in model.graph.node for name in node.output}
        if not {*USER_SIDE, "cosine_GBC", "item_JXC"} <= made:
            return None
        extractor = Extractor(onnx.shape_inference.infer_shapes(model))
        return cls(
            *(
                open_session(extractor.extract_model([*given], [*wanted]).SerializeToString())
                for given, wanted in ((["user"], USER_SIDE), (PAIR_SIDE, OUTPUTS))
            )
        )

    def users(self, user_BVMD: Floats) -> Users:
        """Users' rows at unit length [G, B, D], and their routing evidence [J, B]."""
        unit_GBD, user_JB1 = self._users.run(USER_SIDE, {"user": user_BVMD})
        return unit_GBD, user_JB1[..., 0]

    def pairs(self, wanted: Sequence[str], made: PairInputs) -> list[Floats]:
        """Some of `OUTPUTS`, a row for each pair."""
        none_J11 = np.zeros((len(made.routing_JP), 1, 1), dtype=np.float32)
        inputs = (
            made.cosine_GP[:, None],
            none_J11,
            made.routing_JP[:, None],
            made.item_item_P[None],
            made.bias_P[None],
        )
        found: list[Floats] = self._pairs.run(wanted, dict(zip(PAIR_SIDE, inputs, strict=True)))
        return [each[0] for each in found]


def pair_inputs(
    items: tuple[Grown, Grown, Grown],
    users: Users,
    rows: Sequence[Rows],
    item_item: Sequence[ItemItemScores],
) -> PairInputs:
    """As `Kernels.pairs`, by numpy."""
    items_IVMD, routing_IJ, bias_I = items
    unit_GBD, evidence_JB = users
    num_channels, _, width = unit_GBD.shape
    rows_P = np.concatenate(rows)
    lengths = [len(rows_C) for rows_C in rows]
    cosine_GP = np.empty((num_channels, len(rows_P)), dtype=np.float32)
    start = 0
    for place, rows_C in enumerate(rows):
        own = slice(start, start + len(rows_C))
        items_CGD = items_IVMD.take(rows_C, axis=0).reshape(len(rows_C), num_channels, width)
        unit_GD1 = unit_GBD[:, place, :, None]
        np.matmul(items_CGD.transpose(1, 0, 2), unit_GD1, out=cosine_GP[:, own, None])
        start = own.stop
    routing_PJ = routing_IJ.take(rows_P, axis=0)
    routing_PJ += evidence_JB.T.repeat(lengths, axis=0)
    said = [each.at(own) for each, own in zip(item_item, rows, strict=True)]
    return PairInputs(
        cosine_GP=cosine_GP,
        routing_JP=np.ascontiguousarray(routing_PJ.T),
        item_item_P=np.concatenate(said),
        bias_P=bias_I.take(rows_P),
    )


def runs(rows: Sequence[Rows], most: int) -> list[list[tuple[int, Rows]]]:
    """Users' rows in runs of at most `most` pairs: parts of them, with the places of the users."""
    found: list[list[tuple[int, Rows]]] = []
    size = most
    for place, rows_C in enumerate(rows):
        for start in range(0, len(rows_C), most):
            part = rows_C[start : start + most]
            if size + len(part) > most:
                found.append([])
                size = 0
            found[-1].append((place, part))
            size += len(part)
    return found
