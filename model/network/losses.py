"""Losses as pure functions of tensors, without weights.

Letters: B positive pairs, N shared negatives, D dimension, K experts.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax_loss(positive_B: Tensor, negative_BN: Tensor) -> Tensor:
    """Cross entropy of the positive against shared negatives; -inf masks a negative.

    Scores arrive divided by the temperature. Ref: "On the Effectiveness of Sampled Softmax Loss for
    Item Recommendation", arXiv:2201.02327, Eq. 2.
    """
    everything_BN1 = torch.cat([positive_B[:, None], negative_BN], dim=1)
    return (torch.logsumexp(everything_BN1, dim=1) - positive_B).mean()


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
