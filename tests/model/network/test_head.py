import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.network.config import MagnetConfig
from model.network.head import FusionHead

NAMES = ("behaviour", "text", "picture", "audio")


def head(num_modalities: int, seed: int) -> FusionHead:
    """A head with arbitrary parameters, as training could leave it."""
    made = FusionHead(MagnetConfig(modalities=NAMES[:num_modalities], embedding_dim=8))
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data.normal_(generator=generator)
    made.reliability_M.uniform_(0.1, 2, generator=generator)
    return made.eval()


def pairs(num_modalities: int, users: int, candidates: int, seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, num_modalities, 8)

    def unit(*lead: int) -> torch.Tensor:
        raw = torch.randn(*lead, *shape, generator=generator)
        return torch.nn.functional.normalize(raw, dim=-1)

    bias, neighbourhood = (
        torch.randn(*lead, generator=generator) for lead in ((candidates,), (users, candidates))
    )
    return unit(users), unit(candidates), bias, neighbourhood


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 7), st.integers(0, 10_000))
@torch.no_grad()
def test_contributions_and_bias_add_up_to_the_score(
    num_modalities: int, users: int, candidates: int, seed: int
) -> None:
    fused = head(num_modalities, seed)
    user_BVMD, item_CVMD, bias_C, near_BC = pairs(num_modalities, users, candidates, seed)
    item_BCVMD = item_CVMD.expand(users, *item_CVMD.shape)
    routing_CJ = fused.router.item_evidence(item_CVMD)
    score_BC = fused.score(user_BVMD, item_CVMD, routing_CJ, bias_C, near_BC)
    explained_BC, weight_BCK, contribution_BCKVM = fused.explain(
        user_BVMD, item_BCVMD, routing_CJ.expand(users, -1, -1), bias_C.expand(users, -1), near_BC
    )
    assert contribution_BCKVM.shape == (users, candidates, fused.num_experts, 2, num_modalities)
    assert torch.allclose(weight_BCK.sum(-1), torch.ones(users, candidates), atol=1e-5)
    summed_BC = bias_C + contribution_BCKVM.sum((2, 3, 4))
    assert torch.allclose(summed_BC, explained_BC, atol=1e-5)
    assert torch.allclose(score_BC, explained_BC, atol=1e-5)
    silent_BCK = weight_BCK == 0
    assert (contribution_BCKVM[silent_BCK] == 0).all()


@torch.no_grad()
def test_the_score_is_the_formula() -> None:
    fused = head(3, seed=5)
    user_BVMD, item_CVMD, bias_C, near_BC = pairs(3, 1, 1, seed=6)
    routing_CJ = fused.router.item_evidence(item_CVMD)
    score = fused.score(user_BVMD, item_CVMD, routing_CJ, bias_C, near_BC).item()
    similarity_VM = (user_BVMD[0] * item_CVMD[0]).sum(-1)
    channel_J = (
        fused.router.user_evidence(user_BVMD)[0]
        + routing_CJ[0]
        + fused.router.scale * fused.router.similarity_JG @ similarity_VM.flatten()
    )
    relative_K = torch.exp(channel_J[:-1] - channel_J[:-1].max())
    g_K = torch.relu(relative_K - fused.config.gate_threshold)
    g_K = g_K / g_K.sum()
    augmented = torch.sigmoid(channel_J[-1])
    a_V = torch.stack([1 - augmented, augmented])
    r_M = fused.reliability_M
    similarity_VM[0, 0] += near_BC[0, 0]  # after the router has read the cosines
    expected = (
        bias_C[0]
        + torch.einsum("k,km,m,v,vm->", g_K, fused.templates(), r_M, a_V, similarity_VM)
        / fused.config.temperature
    )
    assert score == pytest.approx(expected.item(), abs=1e-5)


@torch.no_grad()
def test_rows_as_long_as_their_modality_is_reliable_get_the_same_scores() -> None:
    fused = head(3, seed=5)
    user_BVMD, item_CVMD, bias_C, near_BC = pairs(3, 4, 9, seed=6)
    routing_CJ = fused.router.item_evidence(item_CVMD)
    expected_BC = fused.score(user_BVMD, item_CVMD, routing_CJ, bias_C, near_BC)
    scaled_CVMD = item_CVMD * fused.reliability_M[:, None]
    near_BC = near_BC * fused.reliability_M[0]
    exported = fused.for_scaled_items()
    score_BC = exported.score(user_BVMD, scaled_CVMD, routing_CJ, bias_C, near_BC)
    assert torch.allclose(score_BC, expected_BC, atol=1e-5)
    assert torch.equal(exported.reliability_M, torch.ones(3))


def test_gradients_reach_every_part_of_the_head() -> None:
    fused = head(3, seed=2)
    user_BVMD, item_CVMD, bias_C, near_BC = pairs(3, 4, 9, seed=3)
    routing_CJ = fused.router.item_evidence(item_CVMD)
    score_BC = fused.score(user_BVMD, item_CVMD, routing_CJ, bias_C, near_BC)
    score_BC.square().sum().backward()
    for name, parameter in fused.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
