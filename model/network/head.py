"""The fusion head, a mixture of experts: similarities of user-item pairs in, additive scores out.

This is the part of the model that is exported to ONNX. Letters: B users, C candidates, V views,
M modalities, G = V * M similarity channels, D dimension, K experts, J = K + 1 routing channels.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.config import VIEWS, MagnetConfig
from model.network.experts import AverageTemplate, ExpertTemplates, FreeTemplates
from model.network.router import InteractionRouter, sparse_gate

_TEMPLATES = {"structured": ExpertTemplates, "free": FreeTemplates, "average": AverageTemplate}


@dataclass(frozen=True, slots=True)
class Routing:
    """Weights of experts and views for a batch of pairs."""

    kept_KBC: Tensor
    """The experts' weights after the gate, up to a common factor."""
    augmented_BC: Tensor
    """Share of the augmented view; the interaction view has the rest."""

    @property
    def weight_KBC(self) -> Tensor:
        """The experts' weights; they sum to 1 over K."""
        return self.kept_KBC / self.kept_KBC.sum(dim=0, keepdim=True)


class FusionHead(nn.Module):
    """score(u, i) = bias_i + sum over k, m, v of g_k(u, i) t_k[m] a_v(u, i) r_m S_vm(u, i) / tau.

    S is the cosine of both sides' rows. r_m is the modality's reliability, settled on validation
    (docs/adr/0026). The score of the item-item model is added to the cosine of behaviour in the
    interaction view (docs/adr/0014); the router sees the cosines alone.

    Nothing non-linear follows the sum, so every expert's, modality's and view's share is exact.
    The additive form is ours (roles and pair-conditioned gates: arXiv:2602.20723). Channels come
    first on every axis order, so that a batch of pairs is one matrix product per step.
    """

    reliability_M: Tensor

    def __init__(self, config: MagnetConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("reliability_M", torch.ones(config.num_modalities))
        self.templates = _TEMPLATES[config.experts](config.modalities)
        self.num_experts = len(self.templates.experts)
        self.router = InteractionRouter(
            num_experts=self.num_experts,
            num_channels=len(VIEWS) * config.num_modalities,
            embedding_dim=config.embedding_dim,
            router_dim=config.router_dim,
        )

    def route(
        self, similarity_GBC: Tensor, user_BJ: Tensor, item_XCJ: Tensor, threshold: float
    ) -> Routing:
        """Expert and view weights of every pair, experts gated with `threshold`."""
        channel_JBC = self.router(similarity_GBC, user_BJ, item_XCJ)
        dual = self.config.views == "dual"
        return Routing(
            kept_KBC=sparse_gate(channel_JBC[:-1], threshold),
            augmented_BC=torch.sigmoid(channel_JBC[-1] if dual else channel_JBC[-1] - torch.inf),
        )

    def mix(self, similarity_GBC: Tensor, routing: Routing) -> Tensor:
        """The personal part of the score [B, C], without the item's bias."""
        mixed_BC: Tensor = self.by_modality(similarity_GBC, routing).sum(0)
        return mixed_BC

    def by_modality(self, similarity_GBC: Tensor, routing: Routing) -> Tensor:
        """What every modality adds to the score [M, B, C].

        Experts' weights are divided by their sum last, once for a pair.
        """
        interaction_MBC, augmented_MBC = similarity_GBC.chunk(2)
        fused_MBC = torch.lerp(interaction_MBC, augmented_MBC, routing.augmented_BC)
        template_MK = (self.templates() * self.reliability_M).T
        modality_MP: Tensor = template_MK @ routing.kept_KBC.flatten(1)
        modality_MBC = modality_MP.unflatten(1, fused_MBC.shape[1:])
        total_BC = routing.kept_KBC.sum(0) * self.config.temperature
        said_MBC: Tensor = modality_MBC * fused_MBC / total_BC
        return said_MBC

    def contributions(self, similarity_GBC: Tensor, routing: Routing) -> Tensor:
        """Every term of the sum in `mix` [B, C, K, V, M]."""
        view_VBC = torch.stack([1 - routing.augmented_BC, routing.augmented_BC])
        similarity_VMBC = similarity_GBC.unflatten(0, (len(VIEWS), self.config.num_modalities))
        viewed_VMBC = similarity_VMBC * view_VBC.unsqueeze(1) / self.config.temperature
        template_KM = self.templates() * self.reliability_M
        expert_KMBC = routing.weight_KBC.unsqueeze(1) * template_KM[:, :, None, None]
        term_KVMBC = expert_KMBC.unsqueeze(1) * viewed_VMBC
        term_BCKVM: Tensor = term_KVMBC.permute(3, 4, 0, 1, 2)
        return term_BCKVM

    def for_scaled_items(self) -> "FusionHead":
        """A copy for items whose rows are as long as their modality is reliable.

        It gives the same scores as this head does with rows of unit length, and its contributions
        are shares of what it is given. An artifact holds such rows, so that whatever reads it sees
        what a modality counts for.
        """
        head = copy.deepcopy(self)
        with torch.no_grad():
            head.router.similarity_JG.div_(self.reliability_M.repeat(len(VIEWS)))
            head.reliability_M.fill_(1)
        return head

    def score(
        self,
        user_BVMD: Tensor,
        item_CVMD: Tensor,
        item_routing_CJ: Tensor,
        item_bias_C: Tensor,
        item_item_BC: Tensor,
    ) -> Tensor:
        """Served score of every user with every candidate [B, C] (gated as in serving)."""
        similarity_GBC = shared_similarity(functional.normalize(user_BVMD, dim=-1), item_CVMD)
        user_BJ = self.router.user_evidence(user_BVMD)
        routing = self.route(similarity_GBC, user_BJ, item_routing_CJ, self.config.gate_threshold)
        return item_bias_C + self.mix(with_item_item(similarity_GBC, item_item_BC), routing)

    def explain(
        self,
        user_BVMD: Tensor,
        item_BCVMD: Tensor,
        item_routing_BCJ: Tensor,
        item_bias_BC: Tensor,
        item_item_BC: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score [B, C], weights [B, C, K] and contributions [B, C, K, V, M].

        Every user has their own candidates.
        """
        similarity_GBC = own_similarity(user_BVMD, item_BCVMD)
        user_BJ = self.router.user_evidence(user_BVMD)
        routing = self.route(similarity_GBC, user_BJ, item_routing_BCJ, self.config.gate_threshold)
        similarity_GBC = with_item_item(similarity_GBC, item_item_BC)
        score_BC = item_bias_BC + self.mix(similarity_GBC, routing)
        weight_BCK = routing.weight_KBC.movedim(0, -1)
        return score_BC, weight_BCK, self.contributions(similarity_GBC, routing)


def shared_similarity(user_BVMD: Tensor, item_CVMD: Tensor) -> Tensor:
    """Cosines of all users with all candidates, both unit rows, in every channel [G, B, C]."""
    user_GBD = user_BVMD.flatten(1, 2).transpose(0, 1)
    item_GDC = item_CVMD.flatten(1, 2).permute(1, 2, 0)
    return user_GBD @ item_GDC


def own_similarity(user_BVMD: Tensor, item_BCVMD: Tensor) -> Tensor:
    """Cosines of every user with their own candidates, unit rows, in every channel [G, B, C]."""
    item_GBCD = item_BCVMD.flatten(2, 3).movedim(2, 0)
    user_GBD1 = functional.normalize(user_BVMD, dim=-1).flatten(1, 2).transpose(0, 1).unsqueeze(-1)
    return (item_GBCD @ user_GBD1).squeeze(-1)


def with_item_item(similarity_GBC: Tensor, item_item_BC: Tensor) -> Tensor:
    """Cosines [G, B, C], the item-item score added to that of behaviour in the interaction view."""
    first_1BC, others = similarity_GBC[:1], similarity_GBC[1:]
    return torch.cat([first_1BC + item_item_BC, others])
