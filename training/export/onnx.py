"""The fusion head as ONNX graphs, and the proof that they compute what torch computes.

Letters: B users, C candidates, V views, M modalities, D dimension, J routing channels.
"""

import copy
import logging
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from model.network.config import VIEWS
from model.network.head import FusionHead
from model.runtime.scorer import INPUTS, OUTPUTS, open_graph
from training.errors import ExplainedError

PARITY_TOLERANCE = 1e-5
"""Largest difference between torch and onnxruntime, in units of score."""
CANDIDATE_COUNTS = (1, 7, 1000)
"""Sizes at which parity is checked; the graphs take any."""


class ParityError(ExplainedError):
    """An exported graph does not compute what the trained head computes."""


class _Graph(nn.Module):
    """One method of a head as a module, which is what torch exports."""

    def __init__(self, head: FusionHead, name: str) -> None:
        super().__init__()
        self.head = head
        self.name = name

    def forward(
        self,
        user_BVMD: Tensor,
        item: Tensor,
        item_routing: Tensor,
        item_bias: Tensor,
        neighbourhood_BC: Tensor,
    ) -> Tensor | tuple[Tensor, ...]:
        """Items lead with [C] in `head.onnx`, with [B, C] in `explain.onnx`."""
        method = self.head.score if self.name == "head.onnx" else self.head.explain
        return method(user_BVMD, item, item_routing, item_bias, neighbourhood_BC)


def export_head(head: FusionHead) -> dict[str, bytes]:
    """`head.onnx` and `explain.onnx` with dynamic batch and candidate counts.

    Raises:
        ParityError: an exported graph differs from torch by more than `PARITY_TOLERANCE`.
    """
    batch = torch.export.Dim("batch", min=1)
    candidates = torch.export.Dim("candidates", min=1)
    pair = {0: batch, 1: candidates}
    shapes = {
        "head.onnx": ({0: batch}, *[{0: candidates}] * 3, pair),
        "explain.onnx": ({0: batch}, *[pair] * 4),
    }
    head = copy.deepcopy(head).cpu().eval()
    head.templates.freeze()
    graphs = {}
    for name in OUTPUTS:
        graph = _Graph(head, name).eval()
        graphs[name] = _export(graph, _random_inputs(graph, 3, 5), shapes[name])
        for count in CANDIDATE_COUNTS:
            for num_users, num_candidates in ((count, 7), (7, count)):
                inputs = _random_inputs(graph, num_users, num_candidates)
                _check_parity(graphs[name], graph, inputs)
    return graphs


def _export(graph: _Graph, inputs: tuple[Tensor, ...], dynamic_shapes: tuple[object, ...]) -> bytes:
    # The exporter warns of a torchvision that no one asked for and of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            inputs,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS[graph.name]),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    exported: bytes = program.model_proto.SerializeToString()
    return exported


def _random_inputs(graph: _Graph, num_users: int, num_candidates: int) -> tuple[Tensor, ...]:
    """Items of unit rows, users of shorter ones; `explain.onnx` has candidates for each user."""
    generator = torch.Generator().manual_seed(num_users * 1009 + num_candidates)
    config, router = graph.head.config, graph.head.router
    vectors = (len(VIEWS), config.num_modalities, config.embedding_dim)
    shared = graph.name == "head.onnx"
    lead = (num_candidates,) if shared else (num_users, num_candidates)

    def unit(*shape: int) -> Tensor:
        return nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)

    item = unit(*lead, *vectors)
    with torch.no_grad():
        routing = router.item_evidence(item)
    user = unit(num_users, *vectors) * torch.rand(num_users, *vectors[:2], 1, generator=generator)
    neighbourhood = 0.1 * torch.randn(num_users, num_candidates, generator=generator)
    return user, item, routing, torch.randn(lead, generator=generator), neighbourhood


def _check_parity(exported: bytes, graph: _Graph, inputs: tuple[Tensor, ...]) -> None:
    with torch.inference_mode():
        expected = graph(*inputs)
    feeds = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    got = open_graph(graph.name, exported).run(OUTPUTS[graph.name], feeds)
    wanted = (expected,) if isinstance(expected, Tensor) else expected
    for want, have in zip(wanted, got, strict=True):
        difference = float(np.abs(want.numpy() - have).max())
        if not difference <= PARITY_TOLERANCE:
            raise ParityError(
                f"onnxruntime differs from torch by {difference:.2e} (allowed "
                f"{PARITY_TOLERANCE:.0e}) on shapes {[list(x.shape) for x in inputs]}; "
                "nothing was exported"
            )
