"""What validation settles: how much each modality, item-item score and popularity may say.

Training loss cannot: it sees positives that are in the graph, and negatives that are drawn by
popularity. Letters: U users, I items, P items of a pool, B users of a block, M modalities, V views,
D dimension, G similarity channels, J routing channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.network.config import BEHAVIOUR, VIEWS
from model.network.magnet import Magnet
from model.network.rows import unit_rows
from training.data.dataset import Dataset
from training.fit.candidates import Candidates, Terms, gather
from training.fit.distributed import block_rows
from training.fit.item_item import item_item_scores, standardised
from training.fit.trained_model import TrainedModel

POPULARITY_WEIGHTS = tuple(0.75 * (step / 24) ** 2 for step in range(25))
"""Denser near zero; the best ones on real data lie between 0.02 and 0.25 (docs/research-log.md)."""
ITEM_ITEM_DEVIATIONS = (
    0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.35, 0.5, 0.7, 1.0,
)  # fmt: skip
"""In units of the cosine that they are added to."""
CONTENT_WEIGHTS = (
    0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4, 2.0, 3.0, 4.5, 7.0,
)  # fmt: skip
"""Of a content modality's cosine beside 1 for behaviour's; never 0, so that rows stay vectors."""
COLD_OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""In units of the score, which reads as log-odds: up to e^3 times the odds of the least chosen."""
FREE_COST = 0.002
"""Relative loss of NDCG@20 accepted for more of what serves tail and cold items: content, offset.
Its noise is larger."""
PARSIMONY = 0.003
"""Relative loss of NDCG@20 accepted for a smaller weight of popularity and of item-item scores."""
_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Weights of everything that a score adds up, beside what the router says."""

    popularity: float = 0.1
    item_item: float = 0.0
    """Standard deviation of item-item scores."""
    content: Mapping[str, float] = field(default_factory=dict)
    """Of each content modality, beside 1 for behaviour."""
    cold: float = 0.0
    newcomers: float = 0.0
    """`Magnet.newcomer_popularity`."""
    ndcg20: float = 0.0
    """What it reaches on validation."""

    @classmethod
    def of(cls, magnet: Magnet) -> Self:
        """What was settled in a model."""
        weight_M = (magnet.head.reliability_M / magnet.head.reliability_M[0]).tolist()
        return cls(
            popularity=magnet.popularity_weight.item(),
            item_item=float(magnet.item_item_deviation),
            content=dict(zip(magnet.config.modalities[1:], weight_M[1:], strict=True)),
            cold=float(magnet.cold_offset),
            newcomers=float(magnet.newcomer_popularity),
        )

    def weights(self) -> dict[str, float]:
        """Of the terms that `HeldOut.routed` makes."""
        num_modalities = 1 + len(self.content)
        return {
            BEHAVIOUR: num_modalities,
            **{name: num_modalities * weight for name, weight in self.content.items()},
            "item_item": num_modalities * self.item_item,
            "popularity": self.popularity,
            "cold": self.cold,
        }

    def settle(self, magnet: Magnet) -> None:
        """Write the weights into a model."""
        weight_M = torch.tensor([1.0, *self.content.values()])
        with torch.no_grad():
            magnet.head.reliability_M.copy_(len(weight_M) * weight_M)
            magnet.popularity_weight.fill_(self.popularity)
            magnet.item_item_deviation.fill_(self.item_item)
            magnet.cold_offset.fill_(self.cold)
            magnet.newcomer_popularity.fill_(self.newcomers)


class HeldOut:
    """What a model's embeddings and any router reach on held-out positives.

    Only the items that the parts of a score rank high are routed: a small share of the catalogue.
    """

    def __init__(
        self,
        model: TrainedModel,
        dataset: Dataset,
        target: csr_array,
        *,
        user_part: bool = True,
    ) -> None:
        """Gather candidates for the positives `target` [U, I].

        Args:
            model: its embeddings, item-item model and users count; its head does not.
            dataset: its training positives are left out.
            target: the positives to find.
            user_part: whether users have their free parts.
        """
        config = model.magnet.config
        self._found = gather(
            dataset, target, lambda user_B: _terms(model, user_B, user_part=user_part)
        )
        self._device = model.embeddings.item_IVMD.device
        self._user_UVMD = torch.from_numpy(_users(model, self._found.users, user_part=user_part))
        self._item_IVMD = model.embeddings.item_IVMD
        self._has_new_items = bool(dataset.features) and not bool(model.magnet.known_I1.all())
        channels = [f"{name}/{v}" for v in range(len(VIEWS)) for name in config.modalities]
        terms = self._found.terms
        self._similarity_GUP = torch.stack([terms.pop(name) for name in channels])
        self._item_item_UP = terms.pop("item_item")

    @torch.inference_mode()
    def routed(self, magnet: Magnet) -> Candidates:
        """The candidates with what each modality says by the head of a model, gated as served."""
        head, router = magnet.head, magnet.head.router
        item_IJ = router.item_evidence(self._item_IVMD)
        parts = []
        for place in torch.arange(len(self._user_UVMD)).split(block_rows(self._device)):
            item_BP = self._found.item_UP[place].to(self._device)
            similarity_GBP = self._similarity_GUP[:, place].to(self._device)
            user_BJ = router.user_evidence(self._user_UVMD[place].to(self._device))
            routing = head.route(
                similarity_GBP, user_BJ, item_IJ[item_BP], head.config.gate_threshold
            )
            near_GBP = torch.zeros_like(similarity_GBP)
            near_GBP[0] = self._item_item_UP[place].to(self._device)
            said_MBP = head.by_modality(similarity_GBP, routing)
            parts.append(torch.stack([*said_MBP, head.by_modality(near_GBP, routing)[0]]).cpu())
        names = (*magnet.config.modalities, "item_item")
        terms = dict(zip(names, torch.cat(parts, dim=1), strict=True))
        return replace(self._found, terms=self._found.terms | terms)

    def fuse(self, magnet: Magnet, start: Fusion | None = None) -> Fusion:
        """The weights with the best NDCG@20 for a model's head, its reliabilities being 1 (ours).

        One weight after the other, twice, or once from `start` on; content first as a whole. Of
        weights that are as good within noise, the larger of content, which serves the tail, and the
        smaller of what only repeats behaviour. So content does not cost: where it brings nothing,
        it may say next to nothing.

        Negatives are drawn by popularity, which takes popularity out of the scores (logit
        adjustment, arXiv:2007.07314, section 4). How much to put back depends on how concentrated
        choices are, and on whether popular items stay popular. Items without positives are only
        ever negatives in training; new ones are chosen all the same, so they get the largest offset
        that costs nothing.
        """
        found = self.routed(magnet)
        contents = magnet.config.modalities[1:]
        fusion = start or Fusion(content=dict.fromkeys(contents, 1.0))
        has_item_item = bool(self._item_item_UP.any())
        for _ in range(_ROUNDS if start is None else 1):
            if contents:
                most = max(fusion.content.values())
                tried = [
                    replace(fusion, content={m: x * y / most for m, y in fusion.content.items()})
                    for x in CONTENT_WEIGHTS
                ]
                fusion = chosen(found, tried, cost=FREE_COST, largest=True)
            for name in contents if len(contents) > 1 else ():
                tried = [
                    replace(fusion, content={**fusion.content, name: x}) for x in CONTENT_WEIGHTS
                ]
                fusion = chosen(found, tried, cost=0.0, largest=True)
            tried = [replace(fusion, popularity=x) for x in POPULARITY_WEIGHTS]
            fusion = chosen(found, tried, cost=PARSIMONY, largest=False)
            if has_item_item:
                tried = [replace(fusion, item_item=x) for x in ITEM_ITEM_DEVIATIONS]
                fusion = chosen(found, tried, cost=PARSIMONY, largest=False)
            if self._has_new_items:
                tried = [replace(fusion, cold=x) for x in COLD_OFFSETS]
                fusion = chosen(found, tried, cost=FREE_COST, largest=True)
        return fusion


def chosen(found: Candidates, choices: Sequence[Fusion], *, cost: float, largest: bool) -> Fusion:
    """The first, or the last, of the choices whose NDCG@20 is the best but for `cost`.

    The choices' weights lie on a line: they differ by one weight, or by what multiplies several.
    """
    weights = [each.weights() for each in choices]
    start, end = weights[0], weights[-1]
    moved = max(start, key=lambda name: abs(end[name] - start[name]))
    way = end[moved] - start[moved]
    place_X = [(each[moved] - start[moved]) / way if way else 0.0 for each in weights]
    ndcg_X = found.ndcg20_along(start, end, place_X)
    good = np.flatnonzero(ndcg_X >= (1 - cost) * ndcg_X.max())
    best = int(good[-1 if largest else 0])
    return replace(choices[best], ndcg20=float(ndcg_X[best]))


def _users(model: TrainedModel, user_B: NDArray[np.int64], *, user_part: bool) -> NDArray[Any]:
    weight_BI = model.train_weight_UI[user_B]
    return model.known_users(user_B, weight_BI) if user_part else model.users(weight_BI)


def _terms(model: TrainedModel, user_B: NDArray[np.int64], *, user_part: bool) -> Terms:
    """Cosines in every channel, item-item scores, and what a bias is made of."""
    weight_BI = model.train_weight_UI[user_B]
    item_IVMD, magnet = model.embeddings.item_IVMD, model.magnet
    with torch.inference_mode():
        users = torch.from_numpy(_users(model, user_B, user_part=user_part))
        user_BVMD = unit_rows(users.to(item_IVMD.device))
        cosines = {
            f"{name}/{v}": (user_BVMD[:, v, m] @ item_IVMD[:, v, m].T).cpu().numpy()
            for m, name in enumerate(magnet.config.modalities)
            for v in range(len(VIEWS))
        }
    return {
        **cosines,
        "item_item": standardised(item_item_scores(weight_BI, model.item_item_II)),
        "popularity": (magnet.log_popularity_I / magnet.config.temperature).cpu().numpy(),
        "cold": 1 - magnet.known_I1.squeeze(1).cpu().numpy(),
    }
