import pytest
import torch
from torch.nn import functional

from model.network.config import MagnetConfig
from model.network.fused_scores import routed_scores, unit_rows
from model.network.head import FusionHead, with_item_item

NAMES = ("behaviour", "text", "picture")
HEADS = [
    MagnetConfig(modalities=NAMES[:1]),
    MagnetConfig(modalities=NAMES[:2]),
    MagnetConfig(modalities=NAMES),
    MagnetConfig(modalities=NAMES, views="interaction"),
    MagnetConfig(modalities=NAMES, experts="average"),
    MagnetConfig(modalities=NAMES, experts="free"),
]
EACH_HEAD = pytest.mark.parametrize(
    "config", HEADS, ids=lambda c: f"{len(c.modalities)}-{c.views}-{c.experts}"
)
EACH_GATE = pytest.mark.parametrize("threshold", [0.0, 0.3, 0.65])


def routed_pairs(
    config: MagnetConfig, users: int = 5, candidates: int = 7
) -> tuple[FusionHead, tuple[torch.Tensor, ...]]:
    """A head with arbitrary parameters, and similarities and evidence of some pairs."""
    generator = torch.Generator().manual_seed(3)
    head = FusionHead(config).double()
    for parameter in head.parameters():
        parameter.data.normal_(generator=generator)
    routing = head.num_experts + 1
    shapes = (2 * config.num_modalities, users, candidates), (users, routing), (candidates, routing)
    return head, tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    )


@EACH_HEAD
@EACH_GATE
def test_scores_and_gradients_are_those_of_the_head(config: MagnetConfig, threshold: float) -> None:
    head, (similarity_GBC, user_BJ, item_CJ) = routed_pairs(config)
    parameters = {"scale": head.router.scale, "similarity": head.router.similarity_JG}
    if config.experts == "free":
        parameters |= {"template": head.templates.logit_KM}
    elif config.experts == "structured" and config.num_modalities > 1:
        parameters |= {"own": head.templates.own_K, "lean": head.templates.lean_KM}
    inputs = {"similarity": similarity_GBC, "user": user_BJ, "item": item_CJ} | {
        f"parameter {name}": parameter for name, parameter in parameters.items()
    }
    plain_BC = head.mix(similarity_GBC, head.route(similarity_GBC, user_BJ, item_CJ, threshold))
    fast_BC = routed_scores(head, similarity_GBC, user_BJ, item_CJ, threshold)
    assert torch.allclose(plain_BC, fast_BC)
    weight_BC = torch.linspace(-1, 2, plain_BC.numel()).double().view_as(plain_BC)
    plain, fast = (
        torch.autograd.grad((score_BC * weight_BC).sum(), [*inputs.values()], allow_unused=True)
        for score_BC in (plain_BC, fast_BC)
    )
    for name, want, have in zip(inputs, plain, fast, strict=True):
        zero = torch.zeros_like(inputs[name])
        assert torch.allclose(*(zero if x is None else x for x in (want, have)), atol=1e-9), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@EACH_GATE
def test_a_gpu_gives_the_same_whatever_its_memory_held_before(threshold: float) -> None:
    head, inputs = routed_pairs(HEADS[2], users=300, candidates=500)
    inputs = tuple(x.detach().float().requires_grad_() for x in inputs)
    want_BC = routed_scores(head.float(), *inputs, threshold)
    want = torch.autograd.grad(want_BC.square().sum(), inputs)
    held = [torch.full((size,), torch.nan, device="cuda") for size in (2**26, 2**20, 2**18, 2**10)]
    del held
    moved = tuple(x.detach().cuda().requires_grad_() for x in inputs)
    have_BC = routed_scores(head.cuda(), *moved, threshold)
    have = torch.autograd.grad(have_BC.square().sum(), moved)
    assert torch.allclose(want_BC, have_BC.cpu(), rtol=1e-3, atol=1e-3)
    for x, y in zip(want, have, strict=True):
        assert torch.allclose(x, y.cpu(), rtol=1e-2, atol=1e-2 * x.abs().max().item())


def test_experts_that_lead_together_share_the_gradient() -> None:
    head, (similarity_GBC, user_BJ, item_CJ) = routed_pairs(MagnetConfig(modalities=NAMES))
    head.router.scale.data.zero_()
    user_BJ.data.zero_()
    item_CJ.data.zero_()
    plain_BC = head.mix(similarity_GBC, head.route(similarity_GBC, user_BJ, item_CJ, 0.5))
    fast_BC = routed_scores(head, similarity_GBC, user_BJ, item_CJ, 0.5)
    want, have = (torch.autograd.grad(x[0].sum(), user_BJ)[0] for x in (plain_BC, fast_BC))
    assert torch.allclose(want, have)
    assert want.abs().sum() > 0


@EACH_HEAD
@torch.no_grad()
def test_the_item_item_score_is_mixed_but_not_routed_by(config: MagnetConfig) -> None:
    head, (similarity_GBC, user_BJ, item_CJ) = routed_pairs(config)
    near_BC = torch.linspace(-1, 1, 35).double().view(5, 7)
    routing = head.route(similarity_GBC, user_BJ, item_CJ, 0.5)
    want_BC = head.mix(with_item_item(similarity_GBC, near_BC), routing)
    have_BC = routed_scores(head, similarity_GBC.clone(), user_BJ, item_CJ, 0.5, near_BC)
    assert torch.allclose(want_BC, have_BC)


def test_unit_rows_are_normalised_and_a_zero_row_stays_zero() -> None:
    row_XD = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row_XD[2] = 0
    assert torch.allclose(unit_rows(row_XD), functional.normalize(row_XD, dim=-1))
    assert torch.autograd.gradcheck(unit_rows, row_XD[[0, 1, 3]].requires_grad_())
    zero_XD = torch.zeros(1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit_rows(zero_XD).sum(), zero_XD)
    assert torch.isfinite(gradient).all()
