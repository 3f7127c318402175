"""Upper bounds of all items' scores from products of 8-bit numbers (ours).

A processor multiplies 8-bit numbers several times as fast as 32-bit ones, and reads a quarter of
the memory. By how much rounding can change a product is known when the items are rounded. That much
is added, so what comes out is a bound still, a little higher. A graph of onnxruntime makes the
products for a block of items (docs/adr/0027).

Letters: I items, C items of a block, B users, V views, M modalities, G = V * M channels,
D dimension, K experts, X whatever fills a room.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.runtime.item_item import ItemItemScores, added_by_block

Floats = NDArray[np.float32]

BLOCK_ITEMS = 4_096
BLOCK_USERS = 32
"""Of one run: 131,072 pairs. Products of so few stay in a processor's caches until they are mixed,
and the items of a block stay there for the next users."""
LARGEST_ITEM = 63
"""Of a rounded number of an item. With seven bits no processor's instructions overflow: those of
AVX2 add two products in 16 bits."""
LARGEST_USER = 127
_ZERO = 128
"""What stands for 0 in a user's numbers, which are unsigned."""
_OWN_OPERATIONS = "com.microsoft"
"""Where onnxruntime keeps operations that ONNX does not have."""
ROUNDING = np.float32(1e-4)
"""Relative error of the float32 sums, far above what it is."""


@dataclass(frozen=True, slots=True)
class MixtureBound:
    """What bounds a mixture of modalities by any expert's template.

    A template's weights are at least `least`, and what is left of 1 goes anywhere: at most to the
    largest similarity. So sum over m of t[k, m] * x[m] is at most
    least * (sum over m of x[m]) + rest * max over m of x[m].
    """

    least: float
    rest: float

    @classmethod
    def of(cls, templates_KM: Floats) -> "MixtureBound":
        """The bound for experts with these templates."""
        least = templates_KM.min()
        return cls(float(least), float((templates_KM - least).sum(axis=1).max()))

    @property
    def unit(self) -> float:
        """What similarities are multiplied by before they are mixed."""
        return self.least or self.rest

    def share_of_bias(self, num_modalities: int) -> float:
        """How much of an item's bias belongs to each of its similarities times `unit`."""
        return self.unit / (num_modalities * self.least + self.rest)

    def mixed(self, part_MBC: Floats, spread_BC: Floats, out_BC: Floats) -> None:
        """The mixture of similarities that have been multiplied by `unit`.

        Args:
            part_MBC: of each modality.
            spread_BC: room for what lies between.
            out_BC: where the mixture goes.
        """
        largest_BC = part_MBC[0]
        for part_BC in part_MBC[1:]:
            largest_BC = np.maximum(largest_BC, part_BC, out=spread_BC)
        if not self.least:
            np.copyto(out_BC, largest_BC)
            return
        np.multiply(largest_BC, np.float32(self.rest / self.least), out=spread_BC)
        for part_BC in part_MBC[:-1]:
            spread_BC += part_BC
        np.add(spread_BC, part_MBC[-1], out=out_BC)


def turned_axes(width: int) -> Floats:
    """A rotation [D, D], always the same.

    In other axes no number of a row is far larger than the others, so rounding loses less.
    """
    rng = np.random.default_rng(0)
    axes_DD: Floats = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    return axes_DD


class QuantisedBounds:
    """The most that every item's score can be, for the items of one model version.

    Safe to share by threads, which wait for each other.

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
        self._mixture = MixtureBound.of(templates_KM)
        self._scale = float(reach * self._mixture.unit)
        self._axes_DD = turned_axes(width)
        largest_VM = np.zeros((num_views, num_modalities), dtype=np.float32)
        for block in _blocks(num_items):
            turned_CVMD = items_IVMD[block] @ self._axes_DD
            np.maximum(largest_VM, np.abs(turned_CVMD).max(axis=(0, 3)), out=largest_VM)
        step_VM = np.where(largest_VM > 0, largest_VM / LARGEST_ITEM, 1).astype(np.float32)
        self._length_VM = np.zeros_like(step_VM)
        share_I = bias_I * np.float32(self._mixture.share_of_bias(num_modalities))
        self._sessions: list[Any] = []
        for block in _blocks(num_items):
            turned_CVMD = items_IVMD[block] @ self._axes_DD
            rounded_CVMD = np.rint(turned_CVMD / step_VM[..., None]).astype(np.int8)
            kept_CVMD = rounded_CVMD * step_VM[..., None]
            length_CVM = np.linalg.norm(kept_CVMD, axis=-1)
            np.maximum(self._length_VM, length_CVM.max(axis=0), out=self._length_VM)
            error_CVM = np.linalg.norm(turned_CVMD - kept_CVMD, axis=-1)
            added_CVM = self._scale * error_CVM + share_I[block, None, None]
            self._sessions.append(_session(rounded_CVMD, self._scale * step_VM, added_CVM))
        self._room = _Room(num_views, num_modalities, width, min(num_items, BLOCK_ITEMS))
        self._taken = threading.Lock()

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> tuple[Floats, Floats]:
        """Numbers [B, I] for some users, and by how much at most a score exceeds them [B].

        Args:
            users_BVMD: their rows, of any length.
            item_item: added to the similarity of the first modality in the first view.
        """
        num_users = len(users_BVMD)
        rounded_BVMD, step, slack_B = self._rounded(users_BVMD)
        starts = range(0, num_users, BLOCK_USERS)
        groups = [slice(start, min(start + BLOCK_USERS, num_users)) for start in starts]
        add_item_item = [
            added_by_block(
                [each.times(self._scale) for each in item_item[users]], self._num_items, BLOCK_ITEMS
            )
            for users in groups
        ]
        bound_BI = np.empty((num_users, self._num_items), dtype=np.float32)
        # Users in the inner loop: a block of items is read from memory once for all of them.
        with self._taken:
            for session, items in zip(self._sessions, _blocks(self._num_items), strict=True):
                for users, add_to in zip(groups, add_item_item, strict=True):
                    part_VMBC = self._room.products(
                        session, rounded_BVMD[users], step, items.stop - items.start
                    )
                    add_to(part_VMBC[0, 0], items.start)
                    part_MBC, *others = part_VMBC
                    for other_MBC in others:
                        np.maximum(part_MBC, other_MBC, out=part_MBC)
                    spread_BC = self._room.spread(part_MBC[0])
                    self._mixture.mixed(part_MBC, spread_BC, bound_BI[users, items])
        return bound_BI, slack_B

    def _rounded(self, users_BVMD: Floats) -> tuple[NDArray[np.uint8], np.float32, Floats]:
        """Rows of length 1 in 8 bits [B, V, M, D], their size of a step, and each user's slack."""
        length_BVM1 = np.linalg.norm(users_BVMD, axis=-1, keepdims=True)
        unit_BVMD = users_BVMD / np.maximum(length_BVM1, np.float32(1e-12)) @ self._axes_DD
        step = np.float32(np.abs(unit_BVMD).max() / LARGEST_USER or 1)
        rounded_BVMD = np.rint(unit_BVMD / step)
        error_BVM = np.linalg.norm(unit_BVMD - rounded_BVMD * step, axis=-1)
        # |<u, i> - <u', i'>| <= |u| |i - i'| + |u - u'| |i'|; the items' part is in their graph.
        off_BM = (error_BVM * self._length_VM + ROUNDING).max(axis=1)
        slack_B = self._reach * (off_BM @ self._templates_KM.T).max(axis=1)
        return (rounded_BVMD + _ZERO).astype(np.uint8), step, slack_B.astype(np.float32)


class _Room:
    """Memory for the numbers of one run, used again in each: new memory takes as long as they do.

    Numbers of users and items that come again find their memory bound to the graphs already.
    """

    def __init__(self, num_views: int, num_modalities: int, width: int, block_items: int) -> None:
        channels = num_views * num_modalities
        self._channels = [
            f"{view}_{modality}" for view in range(num_views) for modality in range(num_modalities)
        ]
        self._shape_VM = (num_views, num_modalities)
        self._users = np.empty((channels, BLOCK_USERS * width), dtype=np.uint8)
        self._step = np.empty((), dtype=np.float32)
        self._parts = np.empty((channels + 1, BLOCK_USERS * block_items), dtype=np.float32)
        self._bound: dict[tuple[int, int], Any] = {}

    def products(
        self, session: Any, rounded_BVMD: NDArray[np.uint8], step: np.float32, num_items: int
    ) -> Floats:
        """The products of some users with a block's items [V, M, B, C], to be written to."""
        num_users, _, _, width = rounded_BVMD.shape
        bound = self._bound.get((id(session), num_users))
        if bound is None:
            bound = self._bind(session, num_users, width, num_items)
            self._bound[id(session), num_users] = bound
        users_GX = self._users[:, : num_users * width]
        by_channel_BGD = rounded_BVMD.reshape(num_users, -1, width)
        users_GX.reshape(-1, num_users, width)[:] = by_channel_BGD.transpose(1, 0, 2)
        self._step[()] = step
        session.run_with_iobinding(bound)
        part_GX = self._parts[:-1, : num_users * num_items]
        return part_GX.reshape(*self._shape_VM, num_users, num_items)

    def spread(self, like_BC: Floats) -> Floats:
        """Room for as many numbers more."""
        return self._parts[-1, : like_BC.size].reshape(like_BC.shape)

    def _bind(self, session: Any, num_users: int, width: int, num_items: int) -> Any:
        bound = session.io_binding()
        address = self._step.ctypes.data
        bound.bind_input("step", "cpu", 0, np.float32, [], address)
        for place, name in enumerate(self._channels):
            address = self._users[place].ctypes.data
            bound.bind_input(f"user{name}", "cpu", 0, np.uint8, [num_users, width], address)
            address = self._parts[place].ctypes.data
            shape = [num_users, num_items]
            bound.bind_output(f"part{name}", "cpu", 0, np.float32, shape, address)
        return bound


def _blocks(num_items: int) -> list[slice]:
    starts = range(0, num_items, BLOCK_ITEMS)
    return [slice(start, min(start + BLOCK_ITEMS, num_items)) for start in starts]


def _session(rounded_CVMD: NDArray[np.int8], scale_VM: Floats, added_CVM: Floats) -> Any:
    """A graph of the products of one block of items: their rounded rows are part of it.

    Only so does onnxruntime lay them out for its products once, instead of in every run. A product
    is made a number, multiplied by the user's step and the channel's scale, and added to, in one
    operation of onnxruntime's own.
    """
    import onnx  # noqa: PLC0415  # 0.2 s, which only the process that loads a model needs
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    num_items, num_views, num_modalities, width = rounded_CVMD.shape
    constants: dict[str, Any] = {"zero": np.uint8(_ZERO)}
    inputs = [helper.make_tensor_value_info("step", TensorProto.FLOAT, [])]
    outputs, nodes = [], []
    for view in range(num_views):
        for modality in range(num_modalities):
            channel = f"{view}_{modality}"
            constants |= {
                f"item{channel}": np.ascontiguousarray(rounded_CVMD[:, view, modality].T),
                f"scale{channel}": np.float32(scale_VM[view, modality]),
                f"added{channel}": added_CVM[:, view, modality].astype(np.float32),
            }
            user, part = f"user{channel}", f"part{channel}"
            inputs.append(helper.make_tensor_value_info(user, TensorProto.UINT8, ["users", width]))
            outputs.append(
                helper.make_tensor_value_info(part, TensorProto.FLOAT, ["users", num_items])
            )
            names = [user, f"item{channel}", "step", f"scale{channel}", "zero", ""]
            nodes.append(
                helper.make_node(
                    "MatMulIntegerToFloat",
                    [*names, f"added{channel}"],
                    [part],
                    domain=_OWN_OPERATIONS,
                )
            )
    tensors = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "bounds", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(_OWN_OPERATIONS, 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
