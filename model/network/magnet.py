"""MAGNET: dual-view embeddings over M modalities, and the head that fuses them.

Knows tensors only: the graph and features are handed in. `encode` runs once per step or export,
scoring many times. Letters: U users, I items, X items that are wanted, V views,
M modalities, E = M - 1 content modalities (and as many kinds of content edge), D dimension,
F width of all features side by side.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.network.config import VIEWS, MagnetConfig
from model.network.encoder import (
    DualViewEmbeddings,
    Graph,
    Propagated,
    View,
    Wanted,
    propagate,
    unit_rows,
)
from model.network.head import FusionHead

_EVERYTHING = Wanted()


class Magnet(nn.Module):
    """Encoders of both views plus the fusion head.

    - behaviour: a free embedding per item that was interacted with; an item without interactions
      has none, and gets its behaviour from its content neighbours in the augmented view.
    - a content modality: its features through a linear encoder, nothing else, so that what an
      explanation calls pictures is pictures. A missing row is zero by contract and gets its signal
      from the graph alone.
    - content-induced edges: one learnt weight per modality.
    - users have no parameters: in every modality and view a user is the fold-in of her history, so
      a new user or a session is embedded exactly as a known one (ours, docs/adr/0004).
    - bias: one learnt weight on the item's standardised log-popularity, so that the personal part
      of the score need not spend itself on popularity (ours).
    - cold offset: what an item that nobody has chosen gets on top: that it is the least popular now
      does not say what it will be; not learnt with the rest (ours, docs/adr/0016).
    - neighbourhood: how loudly single items of a history speak for others, beside embeddings; not
      learnt with the rest (ours, docs/adr/0014).
    """

    def __init__(
        self,
        config: MagnetConfig,
        *,
        features: Sequence[Tensor],
        popularity_I: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config
        self.item_behaviour_ID = nn.Parameter(torch.empty(len(popularity_I), config.embedding_dim))
        self.encoders = nn.ModuleList(
            nn.Linear(feature.shape[1], config.embedding_dim, bias=False) for feature in features
        )
        self.log_edge_weight_E = nn.Parameter(torch.empty(len(features)))
        self.popularity_weight = nn.Parameter(torch.zeros(()))
        self.head = FusionHead(config)
        log_popularity_I = log_popularity(popularity_I)
        spread = log_popularity_I.std(correction=0).clamp_min(1e-12)
        for name, buffer in (
            ("feature_IF", torch.cat([torch.empty(len(popularity_I), 0), *features], dim=1)),
            ("log_popularity_I", (log_popularity_I - log_popularity_I.mean()) / spread),
            ("known_I1", (popularity_I > 0).float().unsqueeze(1)),
        ):
            self.register_buffer(name, buffer, persistent=False)
        for name in ("cold_offset", "neighbourhood_weight"):
            self.register_buffer(name, torch.zeros(()))
        self._reset_parameters(generator)

    feature_IF: Tensor
    log_popularity_I: Tensor
    known_I1: Tensor
    cold_offset: Tensor
    neighbourhood_weight: Tensor

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

    def views(self, graph: Graph) -> tuple[View, View]:
        """The interaction view and the augmented view with the present edge weights.

        Without content they are one and the same object, which is encoded once.
        """
        interaction = View(graph)
        if not graph.content_edges:
            return interaction, interaction
        return interaction, View(graph, self.log_edge_weight_E.exp())

    @torch.no_grad()
    def propagate_content(self, view: View) -> Propagated:
        """Features through a view, constant while it is; again when its edge weights have moved.

        Encoders and propagation are linear, so features may be propagated before they are encoded:
        once per view instead of once per step (ours).
        """
        return propagate(view, self.feature_IF, self.feature_IF, self.config.num_layers)

    def encode(
        self,
        views: Sequence[View],
        contents: Sequence[Propagated],
        wanted: Wanted = _EVERYTHING,
    ) -> DualViewEmbeddings:
        """Embeddings and cold twins of some items, and fold-in rows of all, in both views.

        Args:
            views: see `views`; one that is both is encoded once.
            contents: their `propagate_content`.
            wanted: which items; the whole graph is propagated for any.
        """
        encoded = [
            self._encode_view(view, content, wanted)
            for view, content in zip(dict.fromkeys(views), contents, strict=False)
        ]
        item_IVMD, foldin_IVMD, cold_IVMD = (
            torch.stack([*parts[0], *parts[-1]], dim=1).unflatten(1, (len(VIEWS), -1))
            for parts in zip(*encoded, strict=True)
        )
        return DualViewEmbeddings(unit_rows(item_IVMD), foldin_IVMD, unit_rows(cold_IVMD))

    def _encode_view(
        self, view: View, content: Propagated, wanted: Wanted
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Items, fold-in rows and cold twins in one view: M times [I, D] each."""
        item_ID = self.item_behaviour_ID * self.known_I1
        behaviour = propagate(view, item_ID, torch.zeros_like(item_ID), self.config.num_layers)
        cold_X = item_ID.new_empty(0, dtype=torch.int64) if wanted.cold_X is None else wanted.cold_X
        item, foldin, cold = (
            [_rows(behaviour_ID, row_X), *self.encode_content(_rows(content_IF, row_X))]
            for behaviour_ID, content_IF, row_X in (
                (behaviour.item_IF, content.item_IF, wanted.item_X),
                (behaviour.foldin_IF, content.foldin_IF, None),
                (behaviour.cold_IF, content.cold_IF, cold_X),
            )
        )
        return item, foldin, cold

    def encode_content(self, propagated_XF: Tensor) -> list[Tensor]:
        """Features side by side, propagated or as they are, through each modality's encoder."""
        encoded, start = [], 0
        for encoder in self.encoders:
            assert isinstance(encoder, nn.Linear)
            end = start + encoder.in_features
            encoded.append(encoder(propagated_XF[:, start:end]))
            start = end
        return encoded

    def item_bias(self) -> Tensor:
        """What every item's score starts from, whoever asks [I]."""
        return self.popularity_bias() + self.cold_offset * (1 - self.known_I1.squeeze(1))

    def popularity_bias(self) -> Tensor:
        """The additive popularity term of every item [I]."""
        return self.popularity_weight * self.log_popularity_I / self.config.temperature

    def cold_bias(self) -> Tensor:
        """The popularity term of an item that nobody has chosen, a scalar."""
        return self.popularity_weight * self.log_popularity_I.min() / self.config.temperature


def _rows(x_IF: Tensor, row_X: Tensor | None) -> Tensor:
    return x_IF if row_X is None else x_IF.index_select(0, row_X)


def log_popularity(popularity_I: Tensor) -> Tensor:
    """log(1 + interactions) of every item [I]; one without any gets the least of the others (ours).

    That nobody has chosen it says that it is new, not that it is unwanted.
    """
    known_X = popularity_I[popularity_I > 0]
    return popularity_I.clamp_min(known_X.min() if len(known_X) else 0).log1p()
