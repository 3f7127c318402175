"""MAGNET: dual-view embeddings over M modalities, and the head that fuses them.

Knows tensors only: graphs and features are handed in. `encode` runs once per step or export,
scoring many times. Letters: I items, V views, M modalities, D dimension, F = M * D.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.config import MagnetConfig
from model.dual_view import DualViewEmbeddings, View, encode_view, normalise_rows
from model.fusion_head import FusionHead


class Magnet(nn.Module):
    """Encoders of both views plus the fusion head.

    - behaviour: a free embedding per item.
    - a content modality: its features through a linear encoder without bias (a missing row, zero by
      contract, stays zero and gets its signal from the graph alone), plus an item residual that
      starts at zero.
    - users have no parameters: in every modality and view a user is the fold-in of her history, so
      a new user or a session is embedded exactly as a known one (ours, docs/adr/0004).
    - bias: one learnt weight on the item's standardised log-popularity, so that the personal part
      of the score need not spend itself on popularity (ours).
    """

    def __init__(
        self,
        config: MagnetConfig,
        *,
        features: Sequence[Tensor],
        log_popularity_I: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        num_items, dim = len(log_popularity_I), config.embedding_dim
        self.config = config
        self.item_behaviour_ID = nn.Parameter(torch.empty(num_items, dim))
        self.item_residual_IF = nn.Parameter(
            torch.zeros(num_items, (config.num_modalities - 1) * dim)
        )
        self.encoders = nn.ModuleList(
            nn.Linear(feature.shape[1], dim, bias=False) for feature in features
        )
        self.popularity_weight = nn.Parameter(torch.zeros(()))
        self.head = FusionHead(config)
        for index, feature in enumerate(features):
            self.register_buffer(f"feature_{index}", feature, persistent=False)
        self.register_buffer("log_popularity_I", log_popularity_I, persistent=False)
        self._reset_parameters(generator)

    log_popularity_I: Tensor

    def _reset_parameters(self, generator: torch.Generator) -> None:
        """Behaviour rows: std 0.1 (LightGCN); encoders: unit gain; the rest starts at zero."""
        nn.init.normal_(self.item_behaviour_ID, std=0.1, generator=generator)
        for encoder in self.encoders:
            assert isinstance(encoder, nn.Linear)
            nn.init.normal_(encoder.weight, std=encoder.in_features**-0.5, generator=generator)
        self.head.router.reset_parameters(generator)

    def initial_items(self) -> Tensor:
        """Items before propagation, all modalities side by side [I, M * D]."""
        if not self.encoders:
            return self.item_behaviour_ID
        encoded = [
            encoder(self.get_buffer(f"feature_{index}"))
            for index, encoder in enumerate(self.encoders)
        ]
        content_IF = torch.cat(encoded, dim=1) + self.item_residual_IF
        return torch.cat([self.item_behaviour_ID, content_IF], dim=1)

    def encode(self, views: Sequence[View]) -> DualViewEmbeddings:
        """Embeddings and fold-in rows of every item in both views."""
        item_IF = self.initial_items()
        encoded = [encode_view(view, item_IF, self.config.num_layers) for view in views]
        shape = (self.config.num_modalities, self.config.embedding_dim)
        item_IVMD, foldin_IVMD = (
            torch.stack(parts, dim=1).unflatten(2, shape) for parts in zip(*encoded, strict=True)
        )
        return DualViewEmbeddings(normalise_rows(item_IVMD), foldin_IVMD)

    def item_bias(self) -> Tensor:
        """The additive popularity term of every item [I]."""
        return self.popularity_weight * self.log_popularity_I / self.config.temperature
