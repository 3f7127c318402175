"""Upper bounds of all items' scores from products of 8-bit numbers (ours).

A processor multiplies 8-bit numbers several times as fast as 32-bit ones, and reads a quarter of
the memory. By how much rounding can change a product is known when the items are rounded. That much
is added, so what comes out is a bound still, a little higher. One graph of onnxruntime does all of
it for a block of items (docs/adr/0027).

Letters: I items, C items of a block, B users, V views, M modalities, G = V * M channels,
D dimension, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.runtime.item_item import ItemItemScores

Floats = NDArray[np.float32]

BLOCK_ITEMS = 8_192
BLOCK_USERS = 16
"""Of one run: 65,536 pairs, whose numbers stay in a processor's second cache (measured: twice as
fast as 50,000 items at once)."""
_LARGEST_ITEM = 63
"""Of a rounded number of an item. With seven bits no processor's instructions overflow: those of
AVX2 add two products in 16 bits."""
_LARGEST_USER = 127
_ZERO = 128
"""What stands for 0 in a user's numbers, which are unsigned."""
_ROUNDING = np.float32(1e-4)
"""Relative error of the float32 sums, far above what it is."""


@dataclass(frozen=True, slots=True)
class MixtureBound:
    """What bounds a mixture of modalities by any expert's template.

    A template's weights are at least `least_M`, and what is left of 1 goes anywhere: at most to the
    largest similarity. So sum over m of t[k, m] * x[m] is at most
    sum over m of least[m] * x[m] + rest * max over m of x[m].
    """

    least_M: Floats
    rest: float

    @classmethod
    def of(cls, templates_KM: Floats) -> "MixtureBound":
        """The bound for experts with these templates."""
        least_M = templates_KM.min(axis=0)
        return cls(least_M, float((templates_KM - least_M).sum(axis=1).max()))


class QuantisedBounds:
    """The most that every item's score can be, for the items of one model version.

    Args:
        items_IVMD: the items' rows, of any length.
        bias_I: added to their scores.
        templates_KM: every expert's weights of the modalities.
        reach: what a pair gets above its bias where every similarity is 1.
    """

    def __init__(
        self, items_IVMD: Floats, bias_I: Floats, templates_KM: Floats, reach: float
    ) -> None:
        num_items, num_views, num_modalities, width = items_IVMD.shape
        self._num_items = num_items
        self._reach, self._templates_KM = np.float32(reach), templates_KM
        # In other axes no number of a row is far larger than the others, so rounding loses less.
        rng = np.random.default_rng(0)
        self._axes_DD = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
        largest_M = np.zeros(num_modalities, dtype=np.float32)
        for block in _blocks(num_items):
            turned_CVMD = items_IVMD[block] @ self._axes_DD
            np.maximum(largest_M, np.abs(turned_CVMD).max(axis=(0, 1, 3)), out=largest_M)
        self._step_M = np.where(largest_M > 0, largest_M / _LARGEST_ITEM, 1).astype(np.float32)
        self._error_VM = np.zeros((num_views, num_modalities), dtype=np.float32)
        self._length_VM = np.zeros_like(self._error_VM)
        mixture = MixtureBound.of(templates_KM)
        self._sessions: list[Any] = []
        for block in _blocks(num_items):
            turned_CVMD = items_IVMD[block] @ self._axes_DD
            step_M1 = self._step_M[:, None]
            rounded_CVMD = np.rint(turned_CVMD / step_M1).astype(np.int8)
            kept_CVMD = rounded_CVMD * step_M1
            for most_VM, rows_CVMD in (
                (self._error_VM, turned_CVMD - kept_CVMD),
                (self._length_VM, kept_CVMD),
            ):
                length_CVM = np.linalg.norm(rows_CVMD, axis=-1)
                np.maximum(most_VM, length_CVM.max(axis=0), out=most_VM)
            graph = _graph(rounded_CVMD, bias_I[block], mixture)
            self._sessions.append(_session(graph))

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> Floats:
        """Bounds [B, I] for some users.

        Args:
            users_BVMD: their rows, of any length.
            item_item: added to the similarity of the first modality in the first view.
        """
        bound_BI = np.empty((len(users_BVMD), self._num_items), dtype=np.float32)
        starts = range(0, len(users_BVMD), BLOCK_USERS)
        groups = [slice(start, start + BLOCK_USERS) for start in starts]
        feeds = [self._feeds(users_BVMD[users]) for users in groups]
        # Users in the inner loop: a block of items is read from memory once for all of them.
        for session, items in zip(self._sessions, _blocks(self._num_items), strict=True):
            for users, own in zip(groups, feeds, strict=True):
                said = [each.between(items.start, items.stop) for each in item_item[users]]
                own["item_item"] = self._reach * np.stack(said)
                bound_BI[users, items] = session.run(["bound"], own)[0]
        return bound_BI

    def _feeds(self, users_BVMD: Floats) -> dict[str, NDArray[Any]]:
        """Of one run, without the item-item scores."""
        rounded_BVMD, step_B, slack_B = self._rounded(users_BVMD)
        feeds = _by_channel(rounded_BVMD)
        scale_BM = self._reach * step_B[:, None] * self._step_M
        feeds |= {f"scale{m}": scale_BM[:, m, None] for m in range(scale_BM.shape[1])}
        return feeds | {"slack": slack_B[:, None]}

    def _rounded(self, users_BVMD: Floats) -> tuple[NDArray[np.uint8], Floats, Floats]:
        """Rows of length 1 in 8 bits [B, V, M, D]; each user's size of a step, and slack."""
        length_BVM1 = np.linalg.norm(users_BVMD, axis=-1, keepdims=True)
        unit_BVMD = users_BVMD / np.maximum(length_BVM1, np.float32(1e-12)) @ self._axes_DD
        largest_B = np.abs(unit_BVMD).max(axis=(1, 2, 3))
        step_B = np.where(largest_B > 0, largest_B / _LARGEST_USER, 1).astype(np.float32)
        rounded_BVMD = np.rint(unit_BVMD / step_B[:, None, None, None])
        error_BVMD = unit_BVMD - rounded_BVMD * step_B[:, None, None, None]
        error_BVM = np.linalg.norm(error_BVMD, axis=-1)
        # |<u, i> - <u', i'>| <= |u| |i - i'| + |u - u'| |i'|
        off_BVM = self._error_VM + error_BVM * self._length_VM + _ROUNDING
        off_BM = off_BVM.max(axis=1)
        slack_B = self._reach * (off_BM @ self._templates_KM.T).max(axis=1)
        return (rounded_BVMD + _ZERO).astype(np.uint8), step_B, slack_B.astype(np.float32)


def _blocks(num_items: int) -> list[slice]:
    starts = range(0, num_items, BLOCK_ITEMS)
    return [slice(start, min(start + BLOCK_ITEMS, num_items)) for start in starts]


def _by_channel(rounded_BVMD: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    _, num_views, num_modalities, _ = rounded_BVMD.shape
    return {
        f"user{view}_{modality}": np.ascontiguousarray(rounded_BVMD[:, view, modality])
        for view in range(num_views)
        for modality in range(num_modalities)
    }


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _graph(rounded_CVMD: NDArray[np.int8], bias_C: Floats, mixture: MixtureBound) -> bytes:
    """The bounds of one block of items: their rounded rows are part of the graph.

    Only so does onnxruntime lay them out for its products once, instead of in every run.
    """
    import onnx  # noqa: PLC0415  # 0.2 s, which only the process that loads a model needs
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    num_items, num_views, num_modalities, width = rounded_CVMD.shape
    constants: dict[str, Any] = {
        "zero": np.uint8(_ZERO),
        "bias": bias_C,
        "rest": np.float32(mixture.rest),
    }
    inputs = {"item_item": (TensorProto.FLOAT, num_items), "slack": (TensorProto.FLOAT, 1)}
    nodes: list[Any] = []

    def add(kind: str, *names: str, out: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(names), [out], **attributes))
        return out

    def as_float(product: str, modality: int) -> str:
        number = add("Cast", product, out=f"{product}_float", to=TensorProto.FLOAT)
        return add("Mul", number, f"scale{modality}", out=f"{product}_scaled")

    parts = []
    for modality in range(num_modalities):
        products = []
        for view in range(num_views):
            channel = f"{view}_{modality}"
            constants[f"item{channel}"] = np.ascontiguousarray(rounded_CVMD[:, view, modality].T)
            inputs[f"user{channel}"] = (TensorProto.UINT8, width)
            names = (f"user{channel}", f"item{channel}", "zero")
            products.append(add("MatMulInteger", *names, out=f"product{channel}"))
        inputs[f"scale{modality}"] = (TensorProto.FLOAT, 1)
        if modality == 0:
            first, *others = [as_float(product, modality) for product in products]
            first = add("Add", first, "item_item", out="first")
            largest = add("Max", first, *others, out="largest0")
        else:
            larger = add("Max", *products, out=f"larger{modality}")
            largest = as_float(larger, modality)
        constants[f"least{modality}"] = mixture.least_M[modality]
        parts.append((largest, add("Mul", largest, f"least{modality}", out=f"part{modality}")))
    best = add("Max", *(largest for largest, _ in parts), out="best")
    spread = add("Mul", best, "rest", out="spread")
    total = add("Sum", *(part for _, part in parts), spread, out="total")
    above = add("Add", total, "bias", out="above")
    add("Add", above, "slack", out="bound")
    graph = helper.make_graph(
        nodes,
        "bounds",
        [
            helper.make_tensor_value_info(name, kind, ["users", size])
            for name, (kind, size) in inputs.items()
        ],
        [helper.make_tensor_value_info("bound", TensorProto.FLOAT, ["users", num_items])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())
