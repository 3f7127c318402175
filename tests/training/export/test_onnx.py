import copy

import numpy as np
import pytest
import torch

from model.network.config import MagnetConfig
from model.network.head import FusionHead
from model.runtime.scorer import INPUTS, open_graph
from training.export import onnx as onnx_head
from training.export.onnx import ParityError, export_head


@pytest.fixture(scope="module")
def head() -> FusionHead:
    made = FusionHead(MagnetConfig(modalities=("behaviour", "text", "picture"), embedding_dim=8))
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data.normal_(std=0.5, generator=generator)  # logits up to about 10
    return made.eval()


@pytest.fixture(scope="module")
def graphs(head: FusionHead) -> dict[str, bytes]:
    return export_head(head)


def unit(*shape: int, seed: int) -> torch.Tensor:
    raw = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(raw, dim=-1)


def shorter(unit_BVMD: torch.Tensor) -> torch.Tensor:
    """Rows of lengths between 0 and 1, as users have them."""
    generator = torch.Generator().manual_seed(7)
    return unit_BVMD * torch.rand(*unit_BVMD.shape[:-1], 1, generator=generator)


def neighbourhood(users: int, candidates: int) -> torch.Tensor:
    return 0.1 * torch.randn(users, candidates, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize("users", [1, 7, 1000])
@pytest.mark.parametrize("candidates", [1, 7, 1000])
def test_head_computes_what_torch_computes(
    head: FusionHead, graphs: dict[str, bytes], users: int, candidates: int
) -> None:
    user, item = shorter(unit(users, 2, 3, 8, seed=1)), unit(candidates, 2, 3, 8, seed=2)
    bias = torch.randn(candidates, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        routing = head.router.item_evidence(item)
        inputs = (user, item, routing, bias, neighbourhood(users, candidates))
        expected = head.score(*inputs)
    feeds = dict(zip(INPUTS, inputs, strict=True))
    got = open_graph("head.onnx", graphs["head.onnx"]).run(
        ["score"], {k: v.numpy() for k, v in feeds.items()}
    )[0]
    assert got == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize(("users", "candidates"), [(1, 1), (1, 1000), (7, 7), (1000, 7)])
def test_explain_computes_what_torch_computes(
    head: FusionHead, graphs: dict[str, bytes], users: int, candidates: int
) -> None:
    user, item = shorter(unit(users, 2, 3, 8, seed=4)), unit(users, candidates, 2, 3, 8, seed=5)
    bias = torch.randn(users, candidates, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        routing = head.router.item_evidence(item)
        inputs = (user, item, routing, bias, neighbourhood(users, candidates))
        expected = head.explain(*inputs)
    feeds = dict(zip(INPUTS, inputs, strict=True))
    names = ["score", "weight", "contribution"]
    got = open_graph("explain.onnx", graphs["explain.onnx"]).run(
        names, {k: v.numpy() for k, v in feeds.items()}
    )
    for want, have in zip(expected, got, strict=True):
        assert have == pytest.approx(want.numpy(), abs=1e-5)
    score, _, contribution = got
    assert bias.numpy() + contribution.sum((2, 3, 4)) == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("modalities", [("behaviour",), ("behaviour", "text")])
@pytest.mark.parametrize("experts", ["structured", "free", "average"])
@pytest.mark.parametrize("views", ["dual", "interaction"])
def test_every_kind_of_head_is_exported(
    modalities: tuple[str, ...], experts: str, views: str
) -> None:
    config = MagnetConfig(modalities=modalities, embedding_dim=4, experts=experts, views=views)
    made = FusionHead(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data.normal_(std=0.5, generator=generator)
    assert export_head(made).keys() == {"head.onnx", "explain.onnx"}


def test_a_graph_that_computes_something_else_is_not_exported(
    head: FusionHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx_head._graph

    def off_by_a_little(head: FusionHead, name: str) -> bytes:
        wrong = copy.deepcopy(head)
        wrong.router.prior_J.data += torch.linspace(0, 1e-2, 10)
        return real(wrong, name)

    monkeypatch.setattr(onnx_head, "_graph", off_by_a_little)
    with pytest.raises(ParityError, match=r"differs from torch by .*nothing was exported"):
        export_head(head)


def test_export_leaves_the_head_as_it_was(head: FusionHead, graphs: dict[str, bytes]) -> None:
    assert graphs
    assert head.templates().requires_grad
    assert np.isfinite(head.templates().detach().numpy()).all()
