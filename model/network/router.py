"""The router: which experts score a user-item pair, and through which view.

Routing by pair is from arXiv:2602.20723. The linear form, the learnt scale from zero and the
exactly additive split into user, item and pair evidence are ours: the item's part is computed
offline, which makes routing a whole catalogue affordable.

Letters: B users, C candidates, R router dimension, V views, M modalities, G = V * M similarity
channels, D dimension, K experts, J = K + 1 routing channels (the K expert logits, then the logit of
the augmented view's gate).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

COHERENCE_SPREAD = 0.2
"""Typical difference in length between a user's rows; brings the router's input to unit scale."""


def sparse_gate(logit_KBC: Tensor, threshold: float) -> Tensor:
    """Gated weights of every pair's experts, first axis K, not yet divided by their sum (ours).

    max(0, p_k / max_j p_j - threshold) with p the softmax of the logits: an expert with less than
    `threshold` of the leading one's probability gets no weight. Unlike a hard top-k the gate is
    continuous, so a rounding error can never swap one expert for another, and an even router stays
    an even mixture. A threshold of 0 is the softmax itself.
    """
    relative_KBC = torch.exp(logit_KBC - logit_KBC.amax(dim=0, keepdim=True))
    return torch.relu(relative_KBC - threshold)


class InteractionRouter(nn.Module):
    """Linear evidence from the pair's similarities and from low-dimensional projections.

    logits = prior + C c_u + scale * (A S(u, i) + U z_u + W z_i), where z are unit rows and U and W
    have rank `router_dim`. c_u is the length of the user's rows less their mean. It says in which
    channels their history is more coherent than in the others, and so what they choose by; with the
    mean it would say how long the history is. `C` and `scale` start at zero, so the mixture starts
    at its prior. Inputs are detached: the router does not train the encoders, so that early noise
    in the routing cannot spoil the embeddings.
    """

    def __init__(
        self, *, num_experts: int, num_channels: int, embedding_dim: int, router_dim: int
    ) -> None:
        super().__init__()
        routing = num_experts + 1
        flat = num_channels * embedding_dim
        self.prior_J = nn.Parameter(torch.zeros(routing))
        self.scale = nn.Parameter(torch.zeros(()))
        self.similarity_JG = nn.Parameter(torch.empty(routing, num_channels))
        self.coherence_JG = nn.Parameter(torch.empty(routing, num_channels))
        self.user_low = nn.Linear(flat, router_dim, bias=False)
        self.user_out = nn.Linear(router_dim, routing, bias=False)
        self.item_low = nn.Linear(flat, router_dim, bias=False)
        self.item_out = nn.Linear(router_dim, routing, bias=False)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Evidence weights of unit gain; scale, coherence and prior start at zero."""
        for zero in (self.prior_J, self.scale, self.coherence_JG):
            nn.init.zeros_(zero)
        for weight in (
            self.similarity_JG,
            self.user_low.weight,
            self.user_out.weight,
            self.item_low.weight,
            self.item_out.weight,
        ):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)

    def user_evidence(self, user_BVMD: Tensor) -> Tensor:
        """The user's part of the routing channels, prior included [B, J]."""
        user_BVMD = user_BVMD.detach()
        length_BG = user_BVMD.norm(dim=-1).flatten(-2)
        coherence_BG = (length_BG - length_BG.mean(-1, keepdim=True)) / COHERENCE_SPREAD
        low_BR = self.user_low(functional.normalize(user_BVMD, dim=-1).flatten(-3))
        coherent_BJ = coherence_BG @ self.coherence_JG.T
        evidence_BJ: Tensor = self.prior_J + coherent_BJ + self.scale * self.user_out(low_BR)
        return evidence_BJ

    def item_evidence(self, item_CVMD: Tensor) -> Tensor:
        """The item's part of the routing channels [..., C, J]; the artifact's `item_routing`."""
        evidence_CJ: Tensor = self.item_out(self.item_low(item_CVMD.detach().flatten(-3)))
        return self.scale * evidence_CJ

    def forward(self, similarity_GBC: Tensor, user_BJ: Tensor, item_XCJ: Tensor) -> Tensor:
        """Routing channels of every pair [J, B, C].

        Item evidence is [C, J] where the batch shares its candidates, else [B, C, J].
        """
        pair_JP: Tensor = (self.scale * self.similarity_JG) @ similarity_GBC.detach().flatten(1)
        pair_JBC = pair_JP.unflatten(1, similarity_GBC.shape[1:])
        item_JXC = item_XCJ.movedim(-1, 0)
        if item_XCJ.dim() == 2:
            item_JXC = item_JXC.unsqueeze(1)
        channel_JBC: Tensor = pair_JBC + user_BJ.T.unsqueeze(-1) + item_JXC
        return channel_JBC
