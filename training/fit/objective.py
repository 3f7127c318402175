"""The two objectives: encoders first, then the router, embeddings as they are.

Letters: B pairs, N negatives, H hard negatives, C candidates or items that are compared,
J routing channels, V views, M modalities, D dimension, K experts, G similarity channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.config import VIEWS
from model.network.encoder import DualViewEmbeddings, fold_in, with_user_part
from model.network.head import FusionHead, shared_similarity
from model.network.losses import alignment_loss, bpr_loss, routing_entropies, sampled_softmax_loss
from model.network.magnet import Magnet
from model.network.rows import unit_rows
from model.network.schedule import RoutingWeights
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes
from training.fit.sampler import Batch

HARD_NEGATIVES = 64
"""Negatives of a positive that are routed: those that score highest without routing. The others
are too easy for the router to learn from."""
_CRITERIA = {"bpr": bpr_loss, "sampled-softmax": sampled_softmax_loss}


@dataclass(frozen=True, slots=True)
class RoutingObjective:
    """The router's loss of a batch, and what the schedule watches."""

    terms: dict[str, Tensor]
    """Parts of the loss by name, each with its weight; they add up to it."""
    coverage_entropy: float
    pair_entropy: float
    share_K: Tensor
    """Mean routing weight of every expert over the batch's positives."""


def encoder_terms(
    magnet: Magnet,
    embeddings: DualViewEmbeddings,
    batch: Batch,
    config: TrainingConfig,
) -> dict[str, Tensor]:
    """Parts of the encoders' loss by name, each with its weight.

    The embeddings are of the batch's items, by the magnet's weights. A score is the mean over views
    and modalities of the cosines over the temperature, and popularity's term.

    Args:
        magnet: all parameters but those of the head get gradients.
        embeddings: see above.
        batch: a negative that is the pair's own item is left out.
        config: weights of the terms.
    """
    user_BVMD = unit_rows(_users(magnet, embeddings, batch))
    (item_BVMD, bias_B), (negative_NVMD, bias_N), contrasted_CVMD = _masked(
        magnet, embeddings, batch
    )
    num_channels = len(VIEWS) * magnet.config.num_modalities
    user_BF, temperature = user_BVMD.flatten(1), num_channels * config.temperature
    positive_B = bias_B + (user_BF * item_BVMD.flatten(1)).sum(1) / temperature
    negative_BN = torch.addmm(bias_N, user_BF, negative_NVMD.flatten(1).T / temperature)
    with torch.no_grad():  # what is masked gets no gradient anyway
        negative_BN.masked_fill_(batch.item_B[:, None] == batch.negative_N, -torch.inf)
    initial_BD = magnet.item_behaviour_ID.index_select(0, batch.item_B)
    return {
        "ranking": _CRITERIA[config.ranking_loss](positive_B, negative_BN),
        "alignment": _alignment(contrasted_CVMD, config),
        "l2": config.l2 * 0.5 * initial_BD.square().sum(1).mean(),
    }


def routing_objective(
    magnet: Magnet,
    embeddings: DualViewEmbeddings,
    batch: Batch,
    config: TrainingConfig,
    weights: RoutingWeights,
    processes: Processes = ALONE,
) -> RoutingObjective:
    """The loss of a batch, for the head's parameters alone.

    The embeddings are of the batch's items and get no gradients. With several processes, `batch` is
    a share of the whole, and the mean of their gradients is that of the whole.
    """
    head, router = magnet.head, magnet.head.router
    with torch.no_grad():
        user_BVMD = _users(magnet, embeddings, batch)
        unit_BVMD = unit_rows(user_BVMD)
        (item_BVMD, bias_B), (negative_NVMD, bias_N), _ = _masked(magnet, embeddings, batch)
        positive_GB1 = (unit_BVMD * item_BVMD).sum(-1).flatten(1).T.unsqueeze(-1)
        negative_GBN = shared_similarity(unit_BVMD, negative_NVMD)
        hard_BH = _hardest(head, negative_GBN, bias_N, batch)
        chosen_GBH = hard_BH.expand(len(negative_GBN), -1, -1)
        similarity_GBC = torch.cat([positive_GB1, negative_GBN.gather(2, chosen_GBH)], dim=2)
        bias_BC = torch.cat([bias_B[:, None], bias_N[hard_BH]], dim=1)
        own_BH = batch.item_B[:, None] == batch.negative_N[hard_BH]
    positive_BJ, negative_NJ = (router.item_evidence(x) for x in (item_BVMD, negative_NVMD))
    item_BCJ = torch.cat([positive_BJ.unsqueeze(1), negative_NJ[hard_BH]], dim=1)
    threshold = weights.gate * config.gate_threshold
    routing = head.route(similarity_GBC, router.user_evidence(user_BVMD), item_BCJ, threshold)
    score_BC = head.mix(similarity_GBC, routing) + bias_BC
    weight_BK = routing.weight_KBC[:, :, 0].T
    coverage, pair = routing_entropies(weight_BK, processes.mean(weight_BK.mean(0)))
    ranking = _CRITERIA[config.ranking_loss](
        score_BC[:, 0], score_BC[:, 1:].masked_fill(own_BH, -torch.inf)
    )
    return RoutingObjective(
        {
            "ranking": ranking,
            "routing_coverage": weights.coverage * torch.relu(weights.floor - coverage),
            "routing_specialisation": weights.specialisation * pair,
        },
        coverage.item(),
        pair.item(),
        weight_BK.detach().mean(0),
    )


def _users(magnet: Magnet, embeddings: DualViewEmbeddings, batch: Batch) -> Tensor:
    """Users [B, V, M, D] of the batch, some without their free part."""
    folded_BVMD = fold_in(embeddings.foldin_IVMD, batch.history)
    return with_user_part(folded_BVMD, batch.free_B1 * magnet.user_part(batch.user_B))


def _hardest(head: FusionHead, negative_GBN: Tensor, bias_N: Tensor, batch: Batch) -> Tensor:
    """Places [B, H] of the negatives that score highest with an even mixture of experts."""
    augmented = torch.sigmoid(head.router.prior_J[-1])
    view_V = torch.stack([1 - augmented, augmented])
    weight_G = (view_V[:, None] * head.reliability_M / head.config.num_modalities).flatten()
    mixed_BN = torch.einsum("gbn,g->bn", negative_GBN, weight_G)
    score_BN = bias_N + mixed_BN / head.config.temperature
    own_BN = batch.item_B[:, None] == batch.negative_N[None, :]
    count = min(HARD_NEGATIVES, score_BN.shape[1])
    hard_BH: Tensor = score_BN.masked_fill(own_BN, -torch.inf).topk(count, sorted=False).indices
    return hard_BH


def _masked(
    magnet: Magnet, embeddings: DualViewEmbeddings, batch: Batch
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Embeddings and biases of positives and of negatives, some masked as cold.

    Then the embeddings of the items that are compared.
    """
    row_XVMD = torch.cat([embeddings.item_IVMD, embeddings.cold_IVMD])
    bias_X = torch.cat(
        [
            magnet.popularity_bias().index_select(0, batch.item_X),
            magnet.cold_bias().expand(len(batch.cold_Y)),
        ]
    )

    def masked(place_B: Tensor) -> tuple[Tensor, Tensor]:
        return row_XVMD.index_select(0, place_B), bias_X.index_select(0, place_B)

    contrasted_CVMD = embeddings.item_IVMD.index_select(0, batch.contrasted_C)
    return masked(batch.place_B), masked(batch.place_N), contrasted_CVMD


def _alignment(item_CVMD: Tensor, config: TrainingConfig) -> Tensor:
    """Contrast of items between views, and between behaviour and content."""
    interaction_MCD, augmented_MCD = item_CVMD.permute(1, 2, 0, 3)
    behaviour_CD, *contents = interaction_MCD
    views: Sequence[tuple[Tensor, Tensor]] = list(zip(interaction_MCD, augmented_MCD, strict=True))
    modalities = [(behaviour_CD, content_CD) for content_CD in contents]
    loss = item_CVMD.new_zeros(())
    for weight, pairs in ((config.view_alignment, views), (config.modality_alignment, modalities)):
        if weight > 0 and pairs:
            loss = loss + weight * torch.stack([alignment_loss(x, y) for x, y in pairs]).mean()
    return loss
