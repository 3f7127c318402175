"""Losses as pure functions of tensors, without weights.

Letters: B positive pairs, N shared negatives, D dimension, K experts.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def sampled_softmax_loss(positive_B: Tensor, negative_BN: Tensor) -> Tensor:
    """Cross entropy of the positive against shared negatives; -inf masks a negative.

    Scores arrive divided by the temperature. Ref: "On the Effectiveness of Sampled Softmax Loss for
    Item Recommendation", arXiv:2201.02327, Eq. 2.
    """
    loss: Tensor = _SampledSoftmax.apply(positive_B, negative_BN)  # type: ignore[no-untyped-call]
    return loss


class _SampledSoftmax(torch.autograd.Function):
    """The gradient is the softmax, which the loss has at hand; autograd would take it anew."""

    @staticmethod
    def forward(ctx: Any, positive_B: Tensor, negative_BN: Tensor) -> Tensor:
        largest_B = torch.maximum(negative_BN.amax(dim=1), positive_B)
        share_BN = (negative_BN - largest_B[:, None]).exp_()
        own_B = (positive_B - largest_B).exp_()
        total_B = share_BN.sum(dim=1) + own_B
        scale_B = (total_B * len(total_B)).reciprocal_()
        ctx.save_for_backward(own_B * scale_B - 1 / len(own_B), share_BN.mul_(scale_B[:, None]))
        return (total_B.log_() + largest_B - positive_B).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        positive_B, negative_BN = ctx.saved_tensors
        return grad * positive_B, grad * negative_BN


def bpr_loss(positive_B: Tensor, negative_BN: Tensor) -> Tensor:
    """Bayesian personalised ranking over every (positive, negative); -inf masks a negative.

    Ref: arXiv:1205.2618, the criterion of section 4.
    """
    margin_BN = positive_B[:, None] - negative_BN
    kept_BN = torch.isfinite(negative_BN)
    return -functional.logsigmoid(margin_BN[kept_BN]).mean()


def alignment_loss(x_BD: Tensor, y_BD: Tensor, temperature: float = 0.2) -> Tensor:
    """InfoNCE between two sets of unit rows, the other rows of the batch being the negatives.

    Ref: arXiv:1807.03748, Eq. 4.
    """
    similarity_BB = x_BD @ y_BD.T / temperature
    return functional.cross_entropy(similarity_BB, torch.arange(len(x_BD), device=x_BD.device))


def routing_entropies(weight_BK: Tensor, mean_K: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Entropy of the mean routing distribution and mean entropy of single pairs, both in [0, 1].

    Normalised by log K. The first is high when every expert is used, the second low when each pair
    is sure; their difference is the mutual information between pair and expert over log K. With one
    expert, use is complete and every pair is sure: (1, 0).

    Args:
        weight_BK: routing distributions of some pairs.
        mean_K: the mean distribution, where these pairs are only a part of what it is taken over.
    """
    num_experts = weight_BK.shape[1]
    if num_experts == 1:
        return weight_BK.new_ones(()), weight_BK.new_zeros(())
    used_K = weight_BK.mean(dim=0) if mean_K is None else mean_K
    coverage = _entropy(used_K) / math.log(num_experts)
    pair = _entropy(weight_BK).mean() / math.log(num_experts)
    return coverage, pair


def _entropy(probability: Tensor) -> Tensor:
    """Shannon entropy in nats over the last axis; 0 log 0 is 0, with a finite gradient."""
    return -(probability * probability.clamp_min(1e-12).log()).sum(-1)
