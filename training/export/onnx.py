"""The fusion head as ONNX graphs, and the proof that they compute what torch computes.

The graphs are written out here, not traced by torch, whose exporter takes ten seconds for them; an
early model is to be served sooner (docs/adr/0024).

Letters: B users, C candidates, P = B * C pairs, V views, M modalities, G = V * M similarity
channels, D dimension, F = G * D, K experts, J = K + 1 routing channels.
"""

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from model.network.config import VIEWS
from model.network.head import FusionHead
from model.network.router import COHERENCE_SPREAD
from model.runtime.scorer import INPUTS, OUTPUTS, open_graph
from training.errors import ExplainedError

PARITY_TOLERANCE = 1e-5
"""Largest difference between torch and onnxruntime, in units of score."""
CANDIDATE_COUNTS = (1, 7, 1000)
"""Sizes at which parity is checked; the graphs take any."""

_SHORTEST = 1e-12
"""A row of less than this length is divided by it, as torch's `normalize` does."""
_USER = """
    length = ReduceL2 <keepdims: int = 1> (user, last)
    divisor = Max (length, shortest)
    unit = Div (user, divisor)
    length_BG = Reshape (length, to_BG)
    mean_B1 = ReduceMean <keepdims: int = 1> (length_BG, last)
    coherence_BG = Sub (length_BG, mean_B1)
    coherent_BJ = MatMul (coherence_BG, coherence_GJ)
    unit_BF = Reshape (unit, to_BF)
    evidence_BJ = MatMul (unit_BF, evidence_FJ)
    both_BJ = Add (coherent_BJ, evidence_BJ)
    user_BJ = Add (both_BJ, prior_J)
    user_JB = Transpose <perm: ints = [1, 0]> (user_BJ)
    user_JB1 = Unsqueeze (user_JB, last)
    unit_BGD = Reshape (unit, to_BGD)
    unit_GBD = Transpose <perm: ints = [1, 0, 2]> (unit_BGD)
"""
_SHARED_CANDIDATES = """
    item_CGD = Reshape (item, to_BGD)
    item_GDC = Transpose <perm: ints = [1, 2, 0]> (item_CGD)
    cosine_GBC = MatMul (unit_GBD, item_GDC)
    item_JC = Transpose <perm: ints = [1, 0]> (item_routing)
    item_JXC = Unsqueeze (item_JC, second)
"""
_OWN_CANDIDATES = """
    item_BCGD = Reshape (item, to_BCGD)
    item_GBCD = Transpose <perm: ints = [2, 0, 1, 3]> (item_BCGD)
    unit_GBD1 = Unsqueeze (unit_GBD, last)
    cosine_GBC1 = MatMul (item_GBCD, unit_GBD1)
    cosine_GBC = Squeeze (cosine_GBC1, last)
    item_JXC = Transpose <perm: ints = [2, 0, 1]> (item_routing)
"""
_ROUTE = """
    pairs = Shape (neighbourhood)
    to_JBC = Concat <axis: int = 0> (num_J, pairs)
    cosine_GP = Reshape (cosine_GBC, to_XP)
    pair_JP = MatMul (pair_JG, cosine_GP)
    pair_JBC = Reshape (pair_JP, to_JBC)
    of_user_JBC = Add (pair_JBC, user_JB1)
    channel_JBC = Add (of_user_JBC, item_JXC)
    logit_KBC, view_1BC = Split <axis: int = 0> (channel_JBC, experts_and_view)
    best_1BC = ReduceMax <keepdims: int = 1> (logit_KBC, first)
    behind_KBC = Sub (logit_KBC, best_1BC)
    relative_KBC = Exp (behind_KBC)
    above_KBC = Sub (relative_KBC, threshold)
    kept_KBC = Relu (above_KBC)
    open_1BC = Sub (view_1BC, closed)
    augmented_1BC = Sigmoid (open_1BC)
"""
_SCORE = """
    cosine_MBC, augmented_MBC = Split <axis: int = 0, num_outputs: int = 2> (cosine_GBC)
    item_item_1BC = Unsqueeze (neighbourhood, first)
    item_item_MBC = Mul (item_item_1BC, behaviour_M11)
    interaction_MBC = Add (cosine_MBC, item_item_MBC)
    difference_MBC = Sub (augmented_MBC, interaction_MBC)
    moved_MBC = Mul (difference_MBC, augmented_1BC)
    fused_MBC = Add (interaction_MBC, moved_MBC)
    kept_KP = Reshape (kept_KBC, to_XP)
    modality_MP = MatMul (template_MK, kept_KP)
    to_MBC = Concat <axis: int = 0> (num_M, pairs)
    modality_MBC = Reshape (modality_MP, to_MBC)
    part_MBC = Mul (modality_MBC, fused_MBC)
    sum_BC = ReduceSum <keepdims: int = 0> (part_MBC, first)
    kept_BC = ReduceSum <keepdims: int = 0> (modality_MBC, first)
    total_BC = Mul (kept_BC, temperature)
    mixed_BC = Div (sum_BC, total_BC)
    score = Add (mixed_BC, item_bias)
"""
_EXPLAIN = """
    kept_1BC = ReduceSum <keepdims: int = 1> (kept_KBC, first)
    weight_KBC = Div (kept_KBC, kept_1BC)
    weight = Transpose <perm: ints = [1, 2, 0]> (weight_KBC)
    direct_1BC = Sub (one, augmented_1BC)
    view_VBC = Concat <axis: int = 0> (direct_1BC, augmented_1BC)
    view_V1BC = Unsqueeze (view_VBC, second)
    similarity_GBC = Concat <axis: int = 0> (interaction_MBC, augmented_MBC)
    to_VMBC = Concat <axis: int = 0> (num_VM, pairs)
    similarity_VMBC = Reshape (similarity_GBC, to_VMBC)
    viewed_VMBC = Mul (similarity_VMBC, view_V1BC)
    scaled_VMBC = Div (viewed_VMBC, temperature)
    weight_K1BC = Unsqueeze (weight_KBC, second)
    expert_KMBC = Mul (weight_K1BC, template_KM11)
    expert_K1MBC = Unsqueeze (expert_KMBC, second)
    term_KVMBC = Mul (expert_K1MBC, scaled_VMBC)
    contribution = Transpose <perm: ints = [3, 4, 0, 1, 2]> (term_KVMBC)
"""
_BODIES = {
    "head.onnx": (_USER, _SHARED_CANDIDATES, _ROUTE, _SCORE),
    "explain.onnx": (_USER, _OWN_CANDIDATES, _ROUTE, _SCORE, _EXPLAIN),
}


class ParityError(ExplainedError):
    """An exported graph does not compute what the trained head computes."""


def export_head(head: FusionHead) -> dict[str, bytes]:
    """`head.onnx` and `explain.onnx` with dynamic batch and candidate counts.

    Items' rows are as long as their modality is reliable, see `FusionHead.for_scaled_items`.

    Raises:
        ParityError: an exported graph differs from torch by more than `PARITY_TOLERANCE`.
    """
    head = head.for_scaled_items().cpu().eval()
    graphs = {}
    for name in OUTPUTS:
        graphs[name] = _graph(head, name)
        for count in CANDIDATE_COUNTS:
            for num_users, num_candidates in ((count, 7), (7, count)):
                inputs = _random_inputs(head, name, num_users, num_candidates)
                _check_parity(graphs[name], head, name, inputs)
    return graphs


def _graph(head: FusionHead, name: str) -> bytes:
    """`FusionHead.score` or `explain` with a head's weights."""
    vectors = f"{len(VIEWS)},{head.config.num_modalities},{head.config.embedding_dim}"
    experts = head.num_experts
    items = "C" if name == "head.onnx" else "B,C"
    shapes = (f"B,{vectors}", f"{items},{vectors}", f"{items},{experts + 1}", items, "B,C")
    made = ("B,C", f"B,C,{experts}", f"B,C,{experts},{vectors[: vectors.rindex(',')]}")
    inputs, outputs = (
        ", ".join(f"float[{shape}] {each}" for each, shape in zip(names, of, strict=False))
        for names, of in ((INPUTS, shapes), (OUTPUTS[name], made))
    )
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> graph ({inputs}) => ({outputs}) '
        f"{{ {''.join(_BODIES[name])} }}"
    )
    used = {each for node in model.graph.node for each in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(array, constant)
        for constant, array in _constants(head).items()
        if constant in used
    )
    onnx.checker.check_model(model, full_check=True)
    exported: bytes = model.SerializeToString()
    return exported


@torch.no_grad()
def _constants(head: FusionHead) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Weights, settings and shapes by their names in the graphs."""
    config, router = head.config, head.router
    views, modalities, dim = len(VIEWS), config.num_modalities, config.embedding_dim
    channels, template_KM = views * modalities, head.templates()
    weights = {
        "prior_J": router.prior_J,
        "coherence_GJ": router.coherence_JG.T / COHERENCE_SPREAD,
        "evidence_FJ": router.scale * (router.user_out.weight @ router.user_low.weight).T,
        "pair_JG": router.scale * router.similarity_JG,
        "template_MK": template_KM.T,
        "template_KM11": template_KM[:, :, None, None],
        "behaviour_M11": (torch.arange(modalities) == 0)[:, None, None],
    }
    settings = {
        "shortest": _SHORTEST,
        "threshold": config.gate_threshold,
        "temperature": config.temperature,
        "closed": 0.0 if config.views == "dual" else np.inf,
        "one": 1.0,
    }
    shapes = {
        "first": [0],
        "second": [1],
        "last": [-1],
        "to_BG": [0, channels],
        "to_BF": [0, channels * dim],
        "to_BGD": [0, channels, dim],
        "to_BCGD": [0, 0, channels, dim],
        "to_XP": [0, -1],
        "num_J": [head.num_experts + 1],
        "num_M": [modalities],
        "num_VM": [views, modalities],
        "experts_and_view": [head.num_experts, 1],
    }
    return (
        {name: x.float().contiguous().numpy() for name, x in weights.items()}
        | {name: np.array(x, dtype=np.float32) for name, x in settings.items()}
        | {name: np.array(x, dtype=np.int64) for name, x in shapes.items()}
    )


def _random_inputs(
    head: FusionHead, name: str, num_users: int, num_candidates: int
) -> tuple[Tensor, ...]:
    """Items of unit rows, users of shorter ones; `explain.onnx` has candidates for each user."""
    generator = torch.Generator().manual_seed(num_users * 1009 + num_candidates)
    vectors = (len(VIEWS), head.config.num_modalities, head.config.embedding_dim)
    lead = (num_candidates,) if name == "head.onnx" else (num_users, num_candidates)

    def unit(*shape: int) -> Tensor:
        return nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)

    item = unit(*lead, *vectors)
    with torch.no_grad():
        routing = head.router.item_evidence(item)
    user = unit(num_users, *vectors) * torch.rand(num_users, *vectors[:2], 1, generator=generator)
    neighbourhood = 0.1 * torch.randn(num_users, num_candidates, generator=generator)
    return user, item, routing, torch.randn(lead, generator=generator), neighbourhood


def _check_parity(exported: bytes, head: FusionHead, name: str, inputs: tuple[Tensor, ...]) -> None:
    with torch.inference_mode():
        expected = (head.score if name == "head.onnx" else head.explain)(*inputs)
    feeds = {each: value.numpy() for each, value in zip(INPUTS, inputs, strict=True)}
    got = open_graph(name, exported).run(OUTPUTS[name], feeds)
    wanted = (expected,) if isinstance(expected, Tensor) else expected
    for want, have in zip(wanted, got, strict=True):
        difference = float(np.abs(want.numpy() - have).max())
        if not difference <= PARITY_TOLERANCE:
            raise ParityError(
                f"onnxruntime differs from torch by {difference:.2e} (allowed "
                f"{PARITY_TOLERANCE:.0e}) on shapes {[list(x.shape) for x in inputs]}; "
                "nothing was exported"
            )
