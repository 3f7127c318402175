"""The fusion head as ONNX graphs, and the proof that they compute what torch computes.

Knows the head and onnxruntime; knows nothing about artifacts. Letters: B users, C candidates,
V views, M modalities, D dimension, J routing channels.
"""

import copy
import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.network.config import VIEWS
from model.network.head import FusionHead

PARITY_TOLERANCE = 1e-5
"""Largest difference between torch and onnxruntime, in units of score."""
CANDIDATE_COUNTS = (1, 7, 1000)
"""Sizes at which parity is checked; the graphs take any."""


INPUTS = ("user", "item", "item_routing", "item_bias", "neighbourhood")
"""Of both graphs."""


class ParityError(RuntimeError):
    """An exported graph does not compute what the trained head computes."""


class _Score(nn.Module):
    """`head.onnx`: candidates shared by the batch."""

    inputs = INPUTS
    outputs = ("score",)

    def __init__(self, head: FusionHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self,
        user_BVMD: Tensor,
        item_CVMD: Tensor,
        item_routing_CJ: Tensor,
        item_bias_C: Tensor,
        neighbourhood_BC: Tensor,
    ) -> Tensor:
        return self.head.score(user_BVMD, item_CVMD, item_routing_CJ, item_bias_C, neighbourhood_BC)


class _Explain(nn.Module):
    """`explain.onnx`: every user with her own candidates, the score taken apart."""

    inputs = INPUTS
    outputs = ("score", "weight", "contribution")

    def __init__(self, head: FusionHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self,
        user_BVMD: Tensor,
        item_BCVMD: Tensor,
        item_routing_BCJ: Tensor,
        item_bias_BC: Tensor,
        neighbourhood_BC: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.head.explain(
            user_BVMD, item_BCVMD, item_routing_BCJ, item_bias_BC, neighbourhood_BC
        )


def export_head(head: FusionHead) -> dict[str, bytes]:
    """`head.onnx` and `explain.onnx` with dynamic batch and candidate counts.

    Raises:
        ParityError: an exported graph differs from torch by more than `PARITY_TOLERANCE`.
    """
    batch = torch.export.Dim("batch", min=1)
    candidates = torch.export.Dim("candidates", min=1)
    pair = {0: batch, 1: candidates}
    shared = ({0: batch}, *[{0: candidates}] * 3, pair)
    own = ({0: batch}, *[pair] * 4)
    head = copy.deepcopy(head).cpu().eval()
    head.templates.freeze()
    score, explain = _Score(head).eval(), _Explain(head).eval()
    graphs = {
        "head.onnx": _export(score, _random_inputs(head, 3, 5, own=False), shared),
        "explain.onnx": _export(explain, _random_inputs(head, 3, 5, own=True), own),
    }
    for count in CANDIDATE_COUNTS:
        for num_users, num_candidates in ((count, 7), (7, count)):
            _check_parity(
                graphs["head.onnx"],
                score,
                _random_inputs(head, num_users, num_candidates, own=False),
            )
            _check_parity(
                graphs["explain.onnx"],
                explain,
                _random_inputs(head, num_users, num_candidates, own=True),
            )
    return graphs


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """A single-threaded CPU session of one graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _export(
    wrapper: _Score | _Explain, inputs: tuple[Tensor, ...], dynamic_shapes: tuple[object, ...]
) -> bytes:
    # The exporter warns of a torchvision that no one asked for and of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            wrapper,
            inputs,
            input_names=list(wrapper.inputs),
            output_names=list(wrapper.outputs),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _random_inputs(
    head: FusionHead, num_users: int, num_candidates: int, *, own: bool
) -> tuple[Tensor, ...]:
    """Items of unit rows, users of shorter ones; `own` gives every user candidates of her own."""
    generator = torch.Generator().manual_seed(num_users * 1009 + num_candidates)
    vectors = (len(VIEWS), head.config.num_modalities, head.config.embedding_dim)
    lead = (num_users, num_candidates) if own else (num_candidates,)

    def unit(*shape: int) -> Tensor:
        return nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)

    item = unit(*lead, *vectors)
    with torch.no_grad():
        routing = head.router.item_evidence(item)
    user = unit(num_users, *vectors) * torch.rand(num_users, *vectors[:2], 1, generator=generator)
    neighbourhood = 0.1 * torch.randn(num_users, num_candidates, generator=generator)
    return user, item, routing, torch.randn(lead, generator=generator), neighbourhood


def _check_parity(
    graph: bytes, wrapper: Callable[..., Tensor | tuple[Tensor, ...]], inputs: tuple[Tensor, ...]
) -> None:
    with torch.inference_mode():
        expected = wrapper(*inputs)
    feeds = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    got: list[NDArray[np.float32]] = session(graph).run(None, feeds)
    for want, have in zip(
        (expected,) if isinstance(expected, Tensor) else expected, got, strict=True
    ):
        difference = float(np.abs(want.numpy() - have).max())
        if not difference <= PARITY_TOLERANCE:
            raise ParityError(
                f"onnxruntime differs from torch by {difference:.2e} (allowed "
                f"{PARITY_TOLERANCE:.0e}) on shapes {[list(x.shape) for x in inputs]}; "
                "nothing was exported"
            )
