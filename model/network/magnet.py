"""MAGNET's parameters: item embeddings, content encoders, edge weights, biases and the fusion head.

Letters: I items, X items at hand, E = M - 1 content modalities (and as many kinds of content edge),
D dimension, F width of all features side by side.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.network.config import MagnetConfig
from model.network.head import FusionHead


class Magnet(nn.Module):
    """Parameters of one model; `GraphEncoder` makes embeddings of them.

    - behaviour: a free embedding per item that was interacted with; an item without interactions
      has none, and gets its behaviour from its content neighbours in the augmented view.
    - a content modality: its features through a linear encoder and nothing else, so that a share
      that is explained by pictures comes from pictures alone. A missing row is zero by contract
      and gets its signal from the graph.
    - content edges: one learnt weight per modality.
    - a user is the fold-in of their history, so a new user or a session is embedded without
      training (ours, docs/adr/0004). A known user's behaviour also has a free part, times a trust
      that grows with their history: what is known of them beyond what their items say (ours,
      docs/adr/0026).
    - popularity: one learnt weight on the item's standardised log-popularity, so that the personal
      part of the score need not spend itself on popularity (ours).
    - `cold_offset`: added to the score of items that nobody has chosen yet, which may be popular
      later; calibrated after training (ours, docs/adr/0016).
    - `newcomer_popularity`: of a user whom training did not know and of whom n items are known,
      popularity says 1 + `newcomer_popularity` / n times as much; calibrated after training (ours,
      docs/adr/0029).
    - `item_item_deviation`: standard deviation that the item-item model's scores of a history are
      brought to before they join the cosines; calibrated after training, 0 for no such model
      (ours, docs/adr/0014).
    """

    feature_IF: Tensor
    log_popularity_I: Tensor
    known_I1: Tensor
    cold_offset: Tensor
    newcomer_popularity: Tensor
    item_item_deviation: Tensor
    trust_U1: Tensor

    def __init__(
        self,
        config: MagnetConfig,
        *,
        features: Sequence[Tensor],
        popularity_I: Tensor,
        trust_U: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config
        num_items = len(popularity_I)
        self.item_behaviour_ID = nn.Parameter(torch.empty(num_items, config.embedding_dim))
        self.user_behaviour_UD = nn.Parameter(torch.zeros(len(trust_U), config.embedding_dim))
        self.encoders = nn.ModuleList(
            nn.Linear(feature.shape[1], config.embedding_dim, bias=False) for feature in features
        )
        self._widths = [feature.shape[1] for feature in features]
        self.log_edge_weight_E = nn.Parameter(torch.empty(len(features)))
        self.popularity_weight = nn.Parameter(torch.zeros(()))
        self.head = FusionHead(config)
        log_popularity_I = log_popularity(popularity_I)
        spread = log_popularity_I.std(correction=0).clamp_min(1e-12)
        for name, buffer in (
            ("feature_IF", torch.cat([torch.empty(num_items, 0), *features], dim=1)),
            ("log_popularity_I", (log_popularity_I - log_popularity_I.mean()) / spread),
            ("known_I1", (popularity_I > 0).float().unsqueeze(1)),
            ("trust_U1", trust_U.unsqueeze(1)),
        ):
            self.register_buffer(name, buffer, persistent=False)
        for name in ("cold_offset", "newcomer_popularity", "item_item_deviation"):
            self.register_buffer(name, torch.zeros(()))
        self._reset_parameters(generator)

    def _reset_parameters(self, generator: torch.Generator) -> None:
        """Behaviour rows: std 0.1 (LightGCN); encoders: unit gain; edge kinds share a weight of 1.

        The rest starts at zero.
        """
        nn.init.normal_(self.item_behaviour_ID, std=0.1, generator=generator)
        for encoder in self.encoders:
            assert isinstance(encoder, nn.Linear)
            nn.init.normal_(encoder.weight, std=encoder.in_features**-0.5, generator=generator)
        nn.init.constant_(self.log_edge_weight_E, -math.log(max(1, len(self.encoders))))
        self.head.router.reset_parameters(generator)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Magnet":
        """A copy that shares the features, which nothing changes and which are large."""
        other = self.__class__.__new__(self.__class__)
        memo |= {id(self): other, id(self.feature_IF): self.feature_IF}
        other.__dict__ = copy.deepcopy(self.__dict__, memo)
        return other

    def user_part(self, user_B: Tensor) -> Tensor:
        """The free part of some users' behaviour [B, D]."""
        free_BD = self.user_behaviour_UD.index_select(0, user_B)
        return self.trust_U1.index_select(0, user_B) * free_BD

    def encode_content(self, feature_XF: Tensor) -> list[Tensor]:
        """Features side by side, propagated or as they are, through each modality's encoder."""
        parts = feature_XF.split(self._widths, dim=1) if self._widths else ()
        return [encoder(part) for encoder, part in zip(self.encoders, parts, strict=True)]

    def item_bias(self) -> Tensor:
        """What every item's score starts from, for every user [I]."""
        return self.popularity_bias() + self.cold_offset * (1 - self.known_I1.squeeze(1))

    def popularity_bias(self) -> Tensor:
        """The additive popularity term of every item [I]."""
        return self.popularity_weight * self.log_popularity_I / self.config.temperature

    def cold_bias(self) -> Tensor:
        """The popularity term of an item that nobody has chosen, a scalar."""
        return self.popularity_weight * self.log_popularity_I.min() / self.config.temperature


def log_popularity(popularity_I: Tensor) -> Tensor:
    """log(1 + interactions) of every item [I]; one without any counts as the least popular (ours).

    That nobody has chosen it means that it is new, not that it is unwanted.
    """
    known_X = popularity_I[popularity_I > 0]
    return popularity_I.clamp_min(known_X.min() if len(known_X) else 0).log1p()
