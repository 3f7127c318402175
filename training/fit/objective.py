"""The training objective of one batch: ranking, alignment, view and routing terms, L2.

Letters: B pairs, N negatives, C items that are compared, J routing channels, V views, M modalities,
D dimension, K experts, G similarity channels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.encoder import DualViewEmbeddings, fold_in
from model.network.fused_scores import routed_scores, unit_rows
from model.network.head import FusionHead, shared_similarity
from model.network.losses import alignment_loss, bpr_loss, routing_entropies, sampled_softmax_loss
from model.network.magnet import Magnet
from model.network.schedule import RoutingWeights
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes, block_rows
from training.fit.sampler import Batch


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a batch and what the schedule watches; all without gradients."""

    terms: dict[str, Tensor]
    """Parts of the loss by name, each with its weight; they add up to it."""
    coverage_entropy: float
    pair_entropy: float
    share_K: Tensor
    """Mean routing weight of every expert over the batch's positives."""


def add_gradients(
    magnet: Magnet,
    embeddings: DualViewEmbeddings,
    batch: Batch,
    config: TrainingConfig,
    routing_weights: RoutingWeights,
    processes: Processes = ALONE,
) -> Objective:
    """Compute the loss of a batch and add its gradients to all parameters and leaves behind it.

    The embeddings are of `batch.wanted`, by the magnet's weights. With several processes, `batch`
    is a share of the whole, and the mean of their gradients is that of the whole.
    """
    user_BVMD = fold_in(embeddings.foldin_IVMD, batch.history)
    (item_BVMD, bias_B), (negative_NVMD, bias_N), contrasted_CVMD = _masked(
        magnet, embeddings, batch
    )
    head, router = magnet.head, magnet.head.router
    threshold = routing_weights.gate * config.gate_threshold

    user_BJ = router.user_evidence(user_BVMD)
    unit_BVMD = unit_rows(user_BVMD)
    positive_GB1 = (unit_BVMD * item_BVMD).sum(-1).flatten(1).T.unsqueeze(-1)
    routing = head.route(
        positive_GB1, user_BJ, router.item_evidence(item_BVMD).unsqueeze(1), threshold
    )
    positive_B = head.mix(positive_GB1, routing).squeeze(1) + bias_B
    weight_BK = routing.weight_KBC.squeeze(2).T
    coverage, pair = routing_entropies(weight_BK, processes.mean(weight_BK.mean(0)))

    inputs = (
        *(positive_B, unit_BVMD, user_BJ),
        *(negative_NVMD, router.item_evidence(negative_NVMD), bias_N),
    )
    criterion = bpr_loss if config.ranking_loss == "bpr" else sampled_softmax_loss
    ranking, gradients = _ranking(head, threshold, criterion, batch, inputs)
    view_logit_BC = torch.logit(routing.augmented_BC, eps=1e-6)
    initial_BD = magnet.item_behaviour_ID.index_select(0, batch.item_B)
    others = {
        "alignment": _alignment(contrasted_CVMD, config),
        "view_regulariser": config.view_regulariser * view_logit_BC.square().mean(),
        "routing_coverage": routing_weights.coverage * torch.relu(routing_weights.floor - coverage),
        "routing_specialisation": routing_weights.specialisation * pair,
        "l2": config.l2 * 0.5 * initial_BD.square().sum(1).mean(),
    }
    torch.autograd.backward([torch.stack([*others.values()]).sum(), *inputs], [None, *gradients])
    terms = {"ranking": ranking, **others}
    return Objective(
        {name: term.detach() for name, term in terms.items()},
        coverage.item(),
        pair.item(),
        weight_BK.detach().mean(0),
    )


def _masked(
    magnet: Magnet, embeddings: DualViewEmbeddings, batch: Batch
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Embeddings and biases of positives and of negatives, some masked as cold.

    Then the embeddings of the items that are compared.
    """
    positive_BVMD, negative_NVMD, contrasted_CVMD = embeddings.item_IVMD.split(
        [len(batch.item_B), len(batch.negative_N), len(batch.contrasted_C)]
    )
    cold = embeddings.cold_IVMD.split([len(batch.cold_B), len(batch.cold_N)])
    bias_I, cold_bias = magnet.popularity_bias(), magnet.cold_bias()

    def masked(
        item_X: Tensor, item_XVMD: Tensor, place_C: Tensor, cold_CVMD: Tensor
    ) -> tuple[Tensor, Tensor]:
        return (
            item_XVMD.index_copy(0, place_C, cold_CVMD),
            bias_I[item_X].index_put((place_C,), cold_bias),
        )

    return (
        masked(batch.item_B, positive_BVMD, batch.cold_B, cold[0]),
        masked(batch.negative_N, negative_NVMD, batch.cold_N, cold[1]),
        contrasted_CVMD,
    )


def _ranking(
    head: FusionHead,
    threshold: float,
    criterion: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
    inputs: tuple[Tensor, ...],
) -> tuple[Tensor, list[Tensor]]:
    """Mean ranking loss, and its gradients by each of the inputs.

    All routed pairs of a batch at once are many times what a cache holds, and their memory would
    grow with B * N. So each block's graph is built, gone through backwards and freed on its own;
    gradients by the head's parameters are added to them (docs/adr/0020).

    Args:
        head: routes and mixes.
        threshold: of its gate.
        criterion: loss of scores [B] and [B, N].
        batch: a negative that is the pair's own item is left out.
        inputs: scores [B], unit users [B, V, M, D] and router evidence [B, J] of the positives,
            then unit items [N, V, M, D], router evidence [N, J] and biases [N] of the negatives.
    """
    rows = block_rows(batch.item_B.device)
    pairs = [[_leaf(block) for block in x.split(rows)] for x in inputs[:3]]
    negative_NVMD, negative_NJ, bias_N = negatives = [_leaf(x) for x in inputs[3:]]
    total = inputs[0].new_zeros(())
    for positive_B, unit_BVMD, user_BJ, item_B in zip(
        *pairs, batch.item_B.split(rows), strict=True
    ):
        similarity_GBN = shared_similarity(unit_BVMD, negative_NVMD)
        score_BN = bias_N + routed_scores(head, similarity_GBN, user_BJ, negative_NJ, threshold)
        own_BN = item_B[:, None] == batch.negative_N[None, :]
        loss = criterion(positive_B, score_BN.masked_fill(own_BN, -torch.inf))
        share = loss * (len(positive_B) / len(batch.item_B))
        share.backward()
        total += share.detach()
    return total, [*map(_gradient, pairs), *(_gradient([x]) for x in negatives)]


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _gradient(leaves: Iterable[Tensor]) -> Tensor:
    return torch.cat([x.grad for x in leaves if x.grad is not None])


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
