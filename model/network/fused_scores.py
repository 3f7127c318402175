"""Hand-written gradients for training: the fusion head's scores, and the normalisation of rows.

`routed_scores` are those of `FusionHead.route` and `mix`, in half the passes over memory. With
plain autograd a training step takes 1.3 times as long, with torch.compile 1.2 to 1.4 times
(docs/adr/0020).

Letters: B users, C candidates, V views, M modalities, G = V * M similarity channels, K experts,
J = K + 1 routing channels, N = M + 1 sums over experts (one per modality, then that of all),
P = B * C pairs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.network.config import MagnetConfig
from model.network.head import FusionHead


def routed_scores(
    head: FusionHead,
    similarity_GBC: Tensor,
    user_BJ: Tensor,
    item_CJ: Tensor,
    threshold: float,
    item_item_BC: Tensor | None = None,
) -> Tensor:
    """The personal part of the scores [B, C], differentiable once.

    Args:
        head: its templates, router and temperature.
        similarity_GBC: cosines; overwritten if there are item-item scores.
        user_BJ: `InteractionRouter.user_evidence`.
        item_CJ: `InteractionRouter.item_evidence`.
        threshold: of the gate, below 1.
        item_item_BC: added to behaviour in the interaction view after routing; gets no gradient.
    """
    scores: Tensor = _RoutedScores.apply(  # type: ignore[no-untyped-call]
        similarity_GBC,
        user_BJ,
        item_CJ,
        head.router.scale * head.router.similarity_JG,
        head.templates(),
        head.config,
        threshold,
        item_item_BC,
    )
    return scores


class _RoutedScores(torch.autograd.Function):
    """Fills buffers in place; `expert` holds max(weight, threshold), weight relative to the leader.

    The gated weight is max(weight, threshold) - threshold. The constant is subtracted from the few
    sums over experts, so the buffer still tells the backward pass which experts have no weight.
    """

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd takes tensors one by one
        ctx: Any,
        similarity_GBC: Tensor,
        user_BJ: Tensor,
        item_CJ: Tensor,
        weight_JG: Tensor,
        template_KM: Tensor,
        config: MagnetConfig,
        threshold: float,
        item_item_BC: Tensor | None,
    ) -> Tensor:
        channel_JBC = user_BJ.T.contiguous()[:, :, None] + item_CJ.T.contiguous()[:, None]
        channel_JBC.flatten(1).addmm_(weight_JG, similarity_GBC.flatten(1))
        expert_KBC, augmented_BC = channel_JBC[:-1], channel_JBC[-1]
        expert_KBC.sub_(expert_KBC.amax(0)).exp_()
        if threshold > 0:
            expert_KBC.clamp_(min=threshold)
        if config.views == "dual":
            augmented_BC.sigmoid_()
        else:
            augmented_BC.zero_()
        all_1K = template_KM.new_full((1, len(template_KM)), config.temperature)
        mixing_NK = torch.cat([template_KM.T, all_1K])
        if threshold > 0:
            sum_N1 = mixing_NK.sum(1, keepdim=True)
            mixed_NP = torch.addmm(sum_N1, mixing_NK, expert_KBC.flatten(1), beta=-threshold)
        else:
            mixed_NP = mixing_NK @ expert_KBC.flatten(1)
        mixed_NBC = mixed_NP.unflatten(1, similarity_GBC.shape[1:])
        modality_MBC, total_BC = mixed_NBC[:-1], mixed_NBC[-1]
        if item_item_BC is not None:
            similarity_GBC[0] += item_item_BC
        interaction_MBC, augmented_MBC = similarity_GBC.chunk(2)
        difference_MBC = augmented_MBC - interaction_MBC
        fused_MBC = torch.addcmul(interaction_MBC, difference_MBC, augmented_BC)
        score_BC = _dot(modality_MBC, fused_MBC).div_(total_BC)
        ctx.threshold = threshold
        ctx.save_for_backward(
            similarity_GBC,
            channel_JBC,
            mixed_NBC,
            difference_MBC,
            fused_MBC,
            score_BC,
            mixing_NK,
        )
        return score_BC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BC: Tensor) -> tuple[Tensor | None, ...]:
        (
            similarity_GBC,
            channel_JBC,
            mixed_NBC,
            difference_MBC,
            fused_MBC,
            score_BC,
            mixing_NK,
        ) = ctx.saved_tensors
        expert_KBC, augmented_BC = channel_JBC[:-1], channel_JBC[-1]
        num_modalities = len(fused_MBC)
        share_BC = grad_BC / mixed_NBC[-1]

        grad_mixed_NBC = torch.empty_like(mixed_NBC)
        torch.mul(fused_MBC, share_BC, out=grad_mixed_NBC[:-1])
        torch.mul(score_BC, -share_BC, out=grad_mixed_NBC[-1])
        grad_fused_MBC = mixed_NBC[:-1] * share_BC
        grad_similarity_GBC = torch.empty_like(similarity_GBC)
        interaction_MBC, augmented_MBC = grad_similarity_GBC.split(num_modalities)
        torch.mul(grad_fused_MBC, augmented_BC, out=augmented_MBC)
        torch.sub(grad_fused_MBC, augmented_MBC, out=interaction_MBC)

        grad_channel_JBC = torch.empty_like(channel_JBC)
        grad_expert_KBC, grad_augmented_BC = grad_channel_JBC[:-1], grad_channel_JBC[-1]
        torch.mm(mixing_NK.T, grad_mixed_NBC.flatten(1), out=grad_expert_KBC.flatten(1))
        if ctx.threshold > 0:
            torch.ops.aten.threshold_backward.grad_input(
                grad_expert_KBC, expert_KBC, ctx.threshold, grad_input=grad_expert_KBC
            )
        grad_expert_KBC *= expert_KBC
        if ctx.threshold > 0:
            best_BC = expert_KBC.amax(0)
            leader_KBC = torch.eq(expert_KBC, best_BC, out=torch.empty_like(expert_KBC))
            each_BC = grad_expert_KBC.sum(0).div_(leader_KBC.sum(0))
            grad_expert_KBC.addcmul_(leader_KBC, each_BC, value=-1)
        torch.mul(augmented_BC, 1 - augmented_BC, out=grad_augmented_BC)
        grad_augmented_BC *= _dot(grad_fused_MBC, difference_MBC)

        grad_mixing_NK = grad_mixed_NBC.flatten(1) @ expert_KBC.flatten(1).T
        if ctx.threshold > 0:
            grad_mixing_NK -= ctx.threshold * grad_mixed_NBC.sum((1, 2)).unsqueeze(1)
        return (
            grad_similarity_GBC,
            grad_channel_JBC.sum(2).T,
            grad_channel_JBC.sum(1).T,
            grad_channel_JBC.flatten(1) @ similarity_GBC.flatten(1).T,
            grad_mixing_NK[:-1].T,
            *[None] * 3,
        )


def _dot(x_MBC: Tensor, y_MBC: Tensor) -> Tensor:
    """Sum over M of the products [B, C]."""
    total_BC = x_MBC[0] * y_MBC[0]
    for x_BC, y_BC in zip(x_MBC[1:], y_MBC[1:], strict=True):
        total_BC.addcmul_(x_BC, y_BC)
    return total_BC


def unit_rows(x: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero row stays zero.

    It takes half the time of `functional.normalize` under autograd, with which a training step
    takes 1.05 times as long (docs/adr/0020).
    """
    rows: Tensor = _UnitRows.apply(x)  # type: ignore[no-untyped-call]
    return rows


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.norm(dim=-1, keepdim=True).clamp_(min=1e-12).reciprocal_()
        rows: Tensor = x * scale
        ctx.save_for_backward(rows, scale)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        rows, scale = ctx.saved_tensors
        along = (grad * rows).sum(-1, keepdim=True)
        across: Tensor = torch.addcmul(grad, rows, along, value=-1).mul_(scale)
        return across
