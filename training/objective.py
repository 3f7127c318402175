"""The training objective of one batch: ranking, alignment, view and routing terms, L2.

Knows the model and a batch; knows nothing about epochs, files or devices. Letters: B pairs,
N negatives, K experts, M modalities, D dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.dual_view import DualViewEmbeddings, View, fold_in
from model.fusion_head import Routing, own_similarity, shared_similarity
from model.losses import alignment_loss, bpr_loss, routing_entropies, sampled_softmax_loss
from model.magnet import Magnet
from model.schedule import RoutingWeights
from training.config import TrainingConfig
from training.sampling import Batch

_ALIGNED_ROWS = 512
"""Rows of a batch that the contrastive terms compare; enough negatives, at a bounded cost."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a batch and what the schedule watches."""

    loss: Tensor
    coverage_entropy: float
    pair_entropy: float
    share_K: Tensor
    """Mean routing weight of every expert over the batch's positives."""


def batch_objective(
    magnet: Magnet,
    views: tuple[View, View],
    batch: Batch,
    config: TrainingConfig,
    routing_weights: RoutingWeights,
) -> Objective:
    """Loss of one batch in the epoch that `routing_weights` belongs to."""
    embeddings = magnet.encode(views)
    user_BVMD = fold_in(embeddings.foldin_IVMD, batch.history_H, batch.start_B, batch.weight_H)
    item_BVMD = embeddings.item_IVMD.index_select(0, batch.item_B)
    negative_NVMD = embeddings.item_IVMD.index_select(0, batch.negative_N)
    head, router = magnet.head, magnet.head.router
    bias_I = magnet.item_bias()
    threshold = routing_weights.gate * config.gate_threshold

    user_BJ = router.user_evidence(user_BVMD)
    positive_GB1 = own_similarity(user_BVMD, item_BVMD.unsqueeze(1))
    positive_routing = head.route(
        positive_GB1, user_BJ, router.item_evidence(item_BVMD).unsqueeze(1), threshold
    )
    positive_B = head.mix(positive_GB1, positive_routing).squeeze(1) + bias_I[batch.item_B]
    negative_GBN = shared_similarity(user_BVMD, negative_NVMD)
    negative_routing = head.route(
        negative_GBN, user_BJ, router.item_evidence(negative_NVMD), threshold
    )
    negative_BN = head.mix(negative_GBN, negative_routing) + bias_I[batch.negative_N]
    clash_BN = batch.item_B[:, None] == batch.negative_N[None, :]
    negative_BN = negative_BN.masked_fill(clash_BN, -torch.inf)

    ranking = bpr_loss if config.ranking_loss == "bpr" else sampled_softmax_loss
    coverage, pair = routing_entropies(positive_routing.logit_KBC.squeeze(2).T.softmax(1))
    share_K = positive_routing.weight_KBC.detach().mean((1, 2))
    loss = (
        ranking(positive_B, negative_BN)
        + _alignment(embeddings, batch, config)
        + config.view_regulariser * _view_imbalance(positive_routing)
        + routing_weights.coverage * torch.relu(routing_weights.floor - coverage)
        + routing_weights.specialisation * pair
        + config.l2 * _squared_norm(magnet, batch)
    )
    return Objective(loss, coverage.item(), pair.item(), share_K)


def _alignment(embeddings: DualViewEmbeddings, batch: Batch, config: TrainingConfig) -> Tensor:
    """Contrast of the batch's items between views, and between behaviour and content."""
    item_B = batch.item_B[:_ALIGNED_ROWS].unique()
    item_BVMD = embeddings.item_IVMD.index_select(0, item_B)
    views = list(zip(item_BVMD[:, 0].unbind(1), item_BVMD[:, 1].unbind(1), strict=True))
    behaviour_BD, *content = item_BVMD[:, 0].unbind(1)
    modalities = [(behaviour_BD, x_BD) for x_BD in content]
    loss = item_BVMD.new_zeros(())
    for weight, pairs in (
        (config.view_alignment, views),
        (config.modality_alignment, modalities),
    ):
        if weight > 0 and pairs:
            terms = [alignment_loss(x_BD, y_BD) for x_BD, y_BD in pairs]
            loss = loss + weight * torch.stack(terms).mean()
    return loss


def _view_imbalance(routing: Routing) -> Tensor:
    """Mean squared logit of the view gate; zero where both views have equal shares."""
    return torch.logit(routing.augmented_BC, eps=1e-6).square().mean()


def _squared_norm(magnet: Magnet, batch: Batch) -> Tensor:
    """Half the mean squared length of the batch's item parameters."""
    item_IF = torch.cat([magnet.item_behaviour_ID, magnet.item_residual_IF], dim=1)
    return 0.5 * item_IF.index_select(0, batch.item_B).square().sum(1).mean()
