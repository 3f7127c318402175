import math

import pytest
import torch

from model.network.losses import alignment_loss, bpr_loss, routing_entropies, sampled_softmax_loss


def test_sampled_softmax_is_the_cross_entropy_of_the_positive() -> None:
    loss = sampled_softmax_loss(torch.tensor([1.0]), torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx(-math.log(math.e / (2 * math.e + 1)))


def test_the_gradient_of_the_sampled_softmax_is_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    positive_B, negative_BN = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((4,), (4, 3))
    )
    assert torch.autograd.gradcheck(sampled_softmax_loss, (positive_B, negative_BN))


@pytest.mark.parametrize("loss", [sampled_softmax_loss, bpr_loss])
def test_a_masked_negative_does_not_count(loss) -> None:
    positive_B = torch.tensor([0.3], requires_grad=True)
    masked = loss(positive_B, torch.tensor([[0.5, -torch.inf]]))
    masked.backward()
    assert masked.item() == pytest.approx(loss(positive_B, torch.tensor([[0.5]])).item())
    assert positive_B.grad is not None
    assert positive_B.grad.isfinite().all()


def test_alignment_is_lowest_for_matching_rows() -> None:
    rows = torch.eye(4)
    assert alignment_loss(rows, rows) < alignment_loss(rows, rows.roll(1, 0))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], (1.0, 0.0)),
        ([[1.0, 0.0], [1.0, 0.0]], (0.0, 0.0)),
        ([[0.5, 0.5], [0.5, 0.5]], (1.0, 1.0)),
        ([[1.0], [1.0]], (1.0, 0.0)),
    ],
)
def test_entropies_of_known_routings(weights, expected) -> None:
    coverage, pair = routing_entropies(torch.tensor(weights))
    assert (coverage.item(), pair.item()) == pytest.approx(expected, abs=1e-6)


def test_entropy_has_a_finite_gradient_where_an_expert_is_silent() -> None:
    weight_BK = torch.tensor([[1.0, 0.0]], requires_grad=True)
    sum(routing_entropies(weight_BK)).backward()
    assert weight_BK.grad is not None
    assert weight_BK.grad.isfinite().all()
