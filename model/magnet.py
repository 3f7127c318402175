"""MAGNET: dual-view embeddings of users and items over M modalities, and the head that fuses them.

Knows tensors only: graphs and features are handed in. `encode` runs once per step or export,
scoring many times. Letters: U users, I items, V views, M modalities, D dimension, F feature width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.config import MagnetConfig
from model.dual_view import DualViewEmbeddings, EncodedView, View, encode_view, normalise_rows
from model.fusion_head import FusionHead


class Magnet(nn.Module):
    """Encoders of both views plus the fusion head.

    - behaviour: free embeddings of users and items.
    - a content modality: its features through a linear encoder without bias (a missing row, zero by
      contract, stays zero and gets its signal from the graph alone), plus an item residual; users
      start from the history-induced cue plus a residual. Residuals start at zero.
    - bias: one learnt weight on the item's standardised log-popularity, so that the personal part
      of the score need not spend itself on popularity (ours).
    """

    def __init__(
        self,
        config: MagnetConfig,
        *,
        num_users: int,
        features: Sequence[Tensor],
        log_popularity_I: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        num_items, dim = len(log_popularity_I), config.embedding_dim
        content = (config.num_modalities - 1) * dim
        self.config = config
        self.user_behaviour_UD = nn.Parameter(torch.empty(num_users, dim))
        self.item_behaviour_ID = nn.Parameter(torch.empty(num_items, dim))
        self.user_residual_UF = nn.Parameter(torch.zeros(num_users, content))
        self.item_residual_IF = nn.Parameter(torch.zeros(num_items, content))
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
        nn.init.normal_(self.user_behaviour_UD, std=0.1, generator=generator)
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
        """Embeddings of every user and item in both views."""
        encoded = self._encode_views(views)
        return DualViewEmbeddings(
            user_UVMD=normalise_rows(self._stack([view.user_UF for view in encoded])),
            item_IVMD=normalise_rows(self._stack([view.item_IF for view in encoded])),
        )

    def foldin(self, views: Sequence[View]) -> Tensor:
        """What each item adds to the user vector of a history that holds it [I, V, M, D].

        Summed over a history and row-normalised, these rows are the user vector that propagation
        would give a new user with this history and no residual (ours): a session needs no training.
        """
        encoded = self._encode_views(views)
        return self._stack(
            [view.foldin(sums.carried_IF) for view, sums in zip(views, encoded, strict=True)]
        )

    def _encode_views(self, views: Sequence[View]) -> list[EncodedView]:
        item_IF = self.initial_items()
        user_UF = torch.cat([self.user_behaviour_UD, self.user_residual_UF], dim=1)
        return [encode_view(view, user_UF, item_IF, self.config.num_layers) for view in views]

    def _stack(self, view_XF: list[Tensor]) -> Tensor:
        """Both views, modalities apart [X, V, M, D]."""
        shape = (self.config.num_modalities, self.config.embedding_dim)
        stacked_XVMD: Tensor = torch.stack(view_XF, dim=1).unflatten(2, shape)
        return stacked_XVMD

    def item_bias(self) -> Tensor:
        """The additive popularity term of every item [I]."""
        return self.popularity_weight * self.log_popularity_I / self.config.temperature
