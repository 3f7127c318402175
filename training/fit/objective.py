"""The training objective of one batch: ranking, alignment, view and routing terms, L2.

Knows the model and a batch; knows nothing about epochs or files. Letters: B pairs,
N negatives, J routing channels, V views, M modalities, D dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.network.encoder import DualViewEmbeddings, fold_in, unit_rows
from model.network.fused_scores import routed_scores
from model.network.head import FusionHead, Routing, shared_similarity
from model.network.losses import alignment_loss, bpr_loss, routing_entropies, sampled_softmax_loss
from model.network.magnet import Magnet
from model.network.schedule import RoutingWeights
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes, block_rows
from training.fit.sampler import Batch


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a batch and what the schedule watches."""

    terms: dict[str, Tensor]
    """Parts of the loss by name, each with its weight; they add up to it."""
    coverage_entropy: float
    pair_entropy: float
    share_K: Tensor
    """Mean routing weight of every expert over the batch's positives."""

    @property
    def loss(self) -> Tensor:
        """The sum of its terms."""
        return torch.stack([*self.terms.values()]).sum()


def batch_objective(
    magnet: Magnet,
    embeddings: DualViewEmbeddings,
    batch: Batch,
    config: TrainingConfig,
    routing_weights: RoutingWeights,
    processes: Processes = ALONE,
) -> Objective:
    """Loss of one batch in the epoch that `routing_weights` belongs to.

    Gradients must be zero before the call: part of the head's are taken in it (`_ranking`). With
    several processes, `batch` is a share, and the mean of their gradients is that of the whole.
    """
    user_BVMD = fold_in(embeddings.foldin_IVMD, batch.history)
    (item_BVMD, bias_B), (negative_NVMD, bias_N), contrasted_CVMD = _shown(
        magnet, embeddings, batch
    )
    head, router = magnet.head, magnet.head.router
    threshold = routing_weights.gate * config.gate_threshold

    user_BJ = router.user_evidence(user_BVMD)
    unit_BVMD = unit_rows(user_BVMD)
    positive_GB1 = (unit_BVMD * item_BVMD).sum(-1).flatten(1).T.unsqueeze(-1)
    positive_routing = head.route(
        positive_GB1, user_BJ, router.item_evidence(item_BVMD).unsqueeze(1), threshold
    )
    positive_B = head.mix(positive_GB1, positive_routing).squeeze(1) + bias_B
    weight_BK = positive_routing.weight_KBC.squeeze(2).T
    coverage, pair = routing_entropies(weight_BK, processes.mean(weight_BK.mean(0)))
    share_K = positive_routing.weight_KBC.detach().mean((1, 2))
    clash_BN = batch.item_B[:, None] == batch.negative_N[None, :]
    ranking = _ranking(
        _NegativeScores(head, threshold),
        bpr_loss if config.ranking_loss == "bpr" else sampled_softmax_loss,
        (positive_B, unit_BVMD, user_BJ, clash_BN),
        (negative_NVMD, router.item_evidence(negative_NVMD), bias_N),
    )
    terms = {
        "ranking": ranking,
        "alignment": _alignment(contrasted_CVMD, config),
        "view_regulariser": config.view_regulariser * _view_imbalance(positive_routing),
        "routing_coverage": routing_weights.coverage * torch.relu(routing_weights.floor - coverage),
        "routing_specialisation": routing_weights.specialisation * pair,
        "l2": config.l2 * _squared_norm(magnet, batch),
    }
    return Objective(terms, coverage.item(), pair.item(), share_K)


def _shown(
    magnet: Magnet, embeddings: DualViewEmbeddings, batch: Batch
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Embeddings and biases of positives and of negatives, some of them as their cold twins.

    Then the embeddings of the items that are compared.
    """
    positive_BVMD, negative_NVMD, contrasted_CVMD = embeddings.item_IVMD.split(
        [len(batch.item_B), len(batch.negative_N), len(batch.contrasted_C)]
    )
    cold = embeddings.cold_IVMD.split([len(batch.cold_B), len(batch.cold_N)])
    bias_I, cold_bias = magnet.popularity_bias(), magnet.cold_bias()

    def shown(
        item_X: Tensor, item_XVMD: Tensor, place_C: Tensor, cold_CVMD: Tensor
    ) -> tuple[Tensor, Tensor]:
        return (
            item_XVMD.index_copy(0, place_C, cold_CVMD),
            bias_I[item_X].index_put((place_C,), cold_bias),
        )

    return (
        shown(batch.item_B, positive_BVMD, batch.cold_B, cold[0]),
        shown(batch.negative_N, negative_NVMD, batch.cold_N, cold[1]),
        contrasted_CVMD,
    )


@dataclass(frozen=True, slots=True)
class _NegativeScores:
    """Scores [B, N] of the shared negatives; -inf where one is the pair's own item."""

    head: FusionHead
    threshold: float

    def __call__(
        self,
        user: tuple[Tensor, Tensor, Tensor],
        negative: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        unit_BVMD, user_BJ, clash_BN = user
        negative_NVMD, negative_NJ, bias_N = negative
        similarity_GBN = shared_similarity(unit_BVMD, negative_NVMD)
        score_BN = routed_scores(self.head, similarity_GBN, user_BJ, negative_NJ, self.threshold)
        return (score_BN + bias_N).masked_fill(clash_BN, -torch.inf)


def _ranking(
    scores: _NegativeScores,
    criterion: Callable[[Tensor, Tensor], Tensor],
    pairs: tuple[Tensor, Tensor, Tensor, Tensor],
    negatives: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Mean ranking loss, its gradients taken block by block.

    All routed pairs of a batch at once are many times what a cache holds, and the time goes into
    moving them. Here each block's graph is built and freed on its own: gradients of the head's
    parameters add up at once, those of the inputs are handed on by the value that is returned.
    """
    total = pairs[0].new_zeros(())
    shared = [_leaf(x) for x in negatives]
    rows = block_rows(total.device)
    blocks = [
        [_leaf(x) for x in block] for block in zip(*(x.split(rows) for x in pairs), strict=True)
    ]
    for positive_B, *user in blocks:
        negative_BN = scores((user[0], user[1], user[2]), (shared[0], shared[1], shared[2]))
        loss = criterion(positive_B, negative_BN) * (len(positive_B) / len(pairs[0]))
        loss.backward()
        total += loss.detach()
    gradients = [
        *(_gradient(list(parts)) for parts in zip(*blocks, strict=True)),
        *(_gradient([x]) for x in shared),
    ]
    carried: Tensor = _Carried.apply(total, gradients, *pairs, *negatives)  # type: ignore[no-untyped-call]
    return carried


class _Carried(torch.autograd.Function):
    """A value whose gradients are known already."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, gradients: Sequence[Tensor | None], *_inputs: Tensor
    ) -> Tensor:
        ctx.gradients = gradients
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if x is None else x * grad for x in ctx.gradients)


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_(x.is_floating_point())


def _gradient(parts: list[Tensor]) -> Tensor | None:
    gradients = [x.grad for x in parts if x.grad is not None]
    return torch.cat(gradients) if gradients else None


def _alignment(item_CVMD: Tensor, config: TrainingConfig) -> Tensor:
    """Contrast of items between views, and between behaviour and content."""
    views = list(zip(item_CVMD[:, 0].unbind(1), item_CVMD[:, 1].unbind(1), strict=True))
    behaviour_CD, *content = item_CVMD[:, 0].unbind(1)
    modalities = [(behaviour_CD, x_CD) for x_CD in content]
    loss = item_CVMD.new_zeros(())
    for weight, pairs in (
        (config.view_alignment, views),
        (config.modality_alignment, modalities),
    ):
        if weight > 0 and pairs:
            terms = [alignment_loss(x_CD, y_CD) for x_CD, y_CD in pairs]
            loss = loss + weight * torch.stack(terms).mean()
    return loss


def _view_imbalance(routing: Routing) -> Tensor:
    """Mean squared logit of the view gate; zero where both views have equal shares."""
    return torch.logit(routing.augmented_BC, eps=1e-6).square().mean()


def _squared_norm(magnet: Magnet, batch: Batch) -> Tensor:
    """Half the mean squared length of the batch's behaviour embeddings."""
    return 0.5 * magnet.item_behaviour_ID.index_select(0, batch.item_B).square().sum(1).mean()
