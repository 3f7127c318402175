import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.network.router import InteractionRouter, sparse_gate


def weights(logit_KBC: torch.Tensor, threshold: float) -> torch.Tensor:
    kept_KBC = sparse_gate(logit_KBC, threshold)
    return kept_KBC / kept_KBC.sum(0)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.floats(0.01, 20))
def test_gate_weights_are_a_distribution_that_silences_weak_experts(
    seed: int, threshold: float, spread: float
) -> None:
    logit_KBC = spread * torch.randn(9, 4, 5, generator=torch.Generator().manual_seed(seed))
    weight_KBC = weights(logit_KBC, threshold)
    assert torch.allclose(weight_KBC.sum(0), torch.ones(4, 5), atol=1e-5)
    assert (weight_KBC >= 0).all()
    relative_KBC = logit_KBC.softmax(0) / logit_KBC.softmax(0).max(0).values
    assert (weight_KBC[relative_KBC < threshold - 1e-5] == 0).all()
    assert (weight_KBC[relative_KBC > threshold + 1e-5] > 0).all()


def test_a_threshold_of_zero_is_the_softmax() -> None:
    logit_KBC = torch.randn(9, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(weights(logit_KBC, 0.0), logit_KBC.softmax(0), atol=1e-6)


def test_a_hair_more_evidence_never_moves_a_weight_by_more_than_a_hair() -> None:
    generator = torch.Generator().manual_seed(0)
    logit_KBC = torch.randn(9, 1, 20_000, generator=generator)
    nudge_KBC = 1e-4 * torch.randn(9, 1, 20_000, generator=generator)
    moved_KBC = weights(logit_KBC + nudge_KBC, 0.5) - weights(logit_KBC, 0.5)
    assert moved_KBC.abs().max() < 5e-3


def router(num_experts: int = 9) -> InteractionRouter:
    made = InteractionRouter(num_experts=num_experts, num_channels=6, embedding_dim=4, router_dim=3)
    made.reset_parameters(torch.Generator().manual_seed(0))
    return made


def unit(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape))
    return torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)


def test_a_fresh_router_has_no_opinion() -> None:
    fresh = router()
    channel_JBC = fresh(
        torch.rand(6, 2, 5),
        fresh.user_evidence(unit(2, 2, 3, 4)),
        fresh.item_evidence(unit(5, 2, 3, 4)),
    )
    assert torch.equal(channel_JBC, torch.zeros(10, 2, 5))


def test_evidence_is_read_from_the_pair_the_user_and_the_item() -> None:
    trained = router()
    trained.scale.data.fill_(1.0)
    user_BVMD, item_CVMD = unit(2, 2, 3, 4), unit(5, 2, 3, 4)
    similarity_GBC = torch.rand(6, 2, 5, generator=torch.Generator().manual_seed(1))
    channel_JBC = trained(
        similarity_GBC, trained.user_evidence(user_BVMD), trained.item_evidence(item_CVMD)
    )
    for b in range(2):
        for c in range(5):
            expected_J = (
                trained.similarity_JG @ similarity_GBC[:, b, c]
                + trained.user_out(trained.user_low(user_BVMD[b].flatten()))
                + trained.item_out(trained.item_low(item_CVMD[c].flatten()))
            )
            assert torch.allclose(channel_JBC[:, b, c], expected_J, atol=1e-5)


def test_routing_does_not_bend_the_encoders() -> None:
    trained = router()
    trained.scale.data.fill_(1.0)
    user_BVMD = unit(2, 2, 3, 4).requires_grad_()
    similarity_GBC = torch.rand(6, 2, 5).requires_grad_()
    item_evidence_CJ = trained.item_evidence(unit(5, 2, 3, 4))
    trained(similarity_GBC, trained.user_evidence(user_BVMD), item_evidence_CJ).sum().backward()
    assert user_BVMD.grad is None
    assert similarity_GBC.grad is None
    assert trained.similarity_JG.grad is not None


def test_how_coherent_a_history_is_in_a_channel_counts_apart_from_its_direction() -> None:
    trained = router()
    trained.coherence_JG.data.normal_(generator=torch.Generator().manual_seed(2))
    user_BVMD = unit(2, 2, 3, 4)
    shorter_BVMD = user_BVMD.clone()
    shorter_BVMD[:, 1, 2] *= 0.5
    difference_BJ = trained.user_evidence(user_BVMD) - trained.user_evidence(shorter_BVMD)
    relative_G = torch.full((6,), -0.5 / 6)
    relative_G[5] += 0.5
    expected_J = trained.coherence_JG @ (relative_G / 0.2)
    assert torch.allclose(difference_BJ, expected_J.expand(2, -1), atol=1e-5)
    all_shorter_BJ = trained.user_evidence(0.5 * user_BVMD)
    assert torch.allclose(all_shorter_BJ, trained.user_evidence(user_BVMD), atol=1e-5)
