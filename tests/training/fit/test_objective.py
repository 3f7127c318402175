"""Both objectives against what their formulas give, written pair by pair."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from model.network.encoder import DualViewEmbeddings, GraphEncoder
from model.network.magnet import Magnet
from model.network.schedule import EntropySchedule
from training.data.dataset import Dataset
from training.fit import objective as objective_module
from training.fit.config import TrainingConfig
from training.fit.graphs import build_graph
from training.fit.objective import RoutingObjective, encoder_terms, routing_objective
from training.fit.sampler import Batch, Sampler
from training.fit.trained_model import build_magnet

CONFIG = TrainingConfig(
    embedding_dim=8,
    batch_size=150,
    max_steps=1,
    negatives=12,
    longest_history=10,
    recency_power=0.5,
    cold_rate=0.3,
)
WEIGHTS = EntropySchedule(coverage_weight=1.0, specialisation_weight=0.1, switch=0).weights()


@dataclass(frozen=True)
class Step:
    """One batch of a model with arbitrary weights."""

    magnet: Magnet
    encoder: GraphEncoder
    batch: Batch
    config: TrainingConfig

    @classmethod
    def of(cls, dataset: Dataset, config: TrainingConfig = CONFIG) -> "Step":
        generator = torch.Generator().manual_seed(0)
        magnet = build_magnet(dataset, config, generator)
        with torch.no_grad():
            for parameter in magnet.head.parameters():
                parameter.normal_(std=0.5, generator=generator)
            magnet.user_behaviour_UD.normal_(std=0.2, generator=generator)
            magnet.popularity_weight.fill_(0.1)
        sampler = Sampler(
            config=config,
            histories=dataset.train_histories,
            has_content=True,
            generator=generator,
            device=torch.device("cpu"),
        )
        encoder = GraphEncoder(magnet, build_graph(dataset.train, dataset.features.values()))
        return cls(magnet, encoder, next(sampler.epoch()), config)

    def embedded(self) -> DualViewEmbeddings:
        return self.encoder.embed(self.batch.item_X, self.batch.cold_Y)

    def encoded(self) -> dict[str, Tensor]:
        return encoder_terms(self.magnet, self.embedded(), self.batch, self.config)

    def routed(self) -> RoutingObjective:
        return routing_objective(self.magnet, self.embedded(), self.batch, self.config, WEIGHTS)

    @torch.no_grad()
    def pairs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Users [B, V, M, D], and each one's candidates [B, 1 + N, V, M, D], with biases.

        Then which negatives count [B, N]: all but the pair's own item.
        """
        magnet, batch = self.magnet, self.batch
        every = self.encoder.embed(cold_X=torch.arange(len(magnet.known_I1)))

        def rows(item_B: Tensor, place_B: Tensor) -> tuple[Tensor, Tensor]:
            cold_B = place_B >= len(batch.item_X)
            item_BVMD = every.item_IVMD[item_B]
            item_BVMD[cold_B] = every.cold_IVMD[item_B[cold_B]]
            bias_B = magnet.popularity_bias()[item_B]
            bias_B[cold_B] = magnet.cold_bias()
            return item_BVMD, bias_B

        users = []
        weight_BX, foldin_XVMD = batch.history.matrix.to_dense(), every.foldin_IVMD[batch.item_X]
        for weight_X, user, free in zip(weight_BX, batch.user_B, batch.free_B1, strict=True):
            summed_VMD = torch.einsum("x,xvmd->vmd", weight_X, foldin_XVMD)
            total_VM = torch.einsum("x,xvm->vm", weight_X, foldin_XVMD.norm(dim=-1))
            user_VMD = summed_VMD / total_VM.clamp_min(1e-12)[..., None]
            user_VMD[:, 0] += free * magnet.trust_U1[user] * magnet.user_behaviour_UD[user]
            users.append(user_VMD)
        positive_BVMD, bias_B = rows(batch.item_B, batch.place_B)
        negative_NVMD, bias_N = rows(batch.negative_N, batch.place_N)
        count = len(batch.item_B)
        item_BCVMD = torch.cat(
            [positive_BVMD[:, None], negative_NVMD.expand(count, *negative_NVMD.shape)], dim=1
        )
        bias_BC = torch.cat([bias_B[:, None], bias_N.expand(count, -1)], dim=1)
        other_BN = batch.item_B[:, None] != batch.negative_N
        return torch.stack(users), item_BCVMD, bias_BC, other_BN


def softmax_loss(score_BC: Tensor, counts_BN: Tensor) -> Tensor:
    losses = [
        torch.logsumexp(torch.cat([score_C[:1], score_C[1:][counts_N]]), dim=0) - score_C[0]
        for score_C, counts_N in zip(score_BC, counts_BN, strict=True)
    ]
    return torch.stack(losses).mean()


def gradients(magnet: Magnet) -> dict[str, float]:
    return {
        name: 0.0 if x.grad is None else x.grad.abs().sum().item()
        for name, x in magnet.named_parameters()
    }


def test_encoders_rank_by_the_mean_of_all_cosines_and_popularity(dataset: Dataset) -> None:
    step = Step.of(dataset)
    assert (step.batch.place_B >= len(step.batch.item_X)).any()
    assert (step.batch.place_N >= len(step.batch.item_X)).any()
    assert not (step.batch.item_B[:, None] != step.batch.negative_N).all()
    user_BVMD, item_BCVMD, bias_BC, other_BN = step.pairs()
    cosine_BCVM = torch.einsum("bvmd,bcvmd->bcvm", normalize(user_BVMD, dim=-1), item_BCVMD)
    score_BC = bias_BC + cosine_BCVM.mean((2, 3)) / CONFIG.temperature
    expected = softmax_loss(score_BC, other_BN)
    assert step.encoded()["ranking"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_encoders_learn_and_the_head_does_not(dataset: Dataset) -> None:
    step = Step.of(dataset)
    torch.stack([*step.encoded().values()]).sum().backward()
    found = gradients(step.magnet)
    assert {name for name, size in found.items() if size == 0} == {
        name for name in found if name.startswith("head.")
    }


@pytest.mark.parametrize(
    ("term", "settings"), [("alignment", ["view_alignment", "modality_alignment"]), ("l2", ["l2"])]
)
def test_a_term_is_told_with_its_weight(dataset: Dataset, term: str, settings: list[str]) -> None:
    terms = Step.of(dataset).encoded()
    doubled = {name: 2 * getattr(CONFIG, name) for name in settings}
    heavier = Step.of(dataset, CONFIG.model_copy(update=doubled)).encoded()
    assert terms[term] > 0
    expected = {name: x.item() * (2 if name == term else 1) for name, x in terms.items()}
    assert {name: x.item() for name, x in heavier.items()} == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def routed_by_hand(step: Step, num_hard: int) -> tuple[float, Tensor]:
    """The ranking loss over the hardest negatives, and every positive's expert weights [B, K]."""
    magnet, head = step.magnet, step.magnet.head
    user_BVMD, item_BCVMD, bias_BC, other_BN = step.pairs()
    similarity_GBC = torch.einsum(
        "bvmd,bcvmd->vmbc", normalize(user_BVMD, dim=-1), item_BCVMD
    ).flatten(0, 1)
    augmented = torch.sigmoid(head.router.prior_J[-1])
    view_V = torch.stack([1 - augmented, augmented])
    even_BC = torch.einsum("v,vmbc->bc", view_V, similarity_GBC.unflatten(0, (2, -1)))
    even_BC = bias_BC + even_BC / magnet.config.num_modalities / CONFIG.temperature
    hard_BN = torch.zeros_like(other_BN)
    for hard_N, even_N, other_N in zip(hard_BN, even_BC[:, 1:], other_BN, strict=True):
        order_N = even_N.masked_fill(~other_N, -torch.inf).argsort(descending=True)
        hard_N[order_N[:num_hard]] = True
    routing = head.route(
        similarity_GBC,
        head.router.user_evidence(user_BVMD),
        head.router.item_evidence(item_BCVMD),
        WEIGHTS.gate * CONFIG.gate_threshold,
    )
    score_BC = bias_BC + head.mix(similarity_GBC, routing)
    loss = softmax_loss(score_BC, hard_BN & other_BN).item()
    return loss, routing.weight_KBC[:, :, 0].T


@pytest.mark.parametrize("num_hard", [3, 64])
def test_the_router_ranks_among_the_hardest_negatives(
    dataset: Dataset, num_hard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective_module, "HARD_NEGATIVES", num_hard)
    step = Step.of(dataset)
    loss, weight_BK = routed_by_hand(step, num_hard)
    found = step.routed()
    assert found.terms["ranking"].item() == pytest.approx(loss, rel=1e-4)
    assert torch.allclose(found.share_K, weight_BK.mean(0), atol=1e-5)
    coverage, specialisation = (
        found.terms[f"routing_{name}"].item() for name in ("coverage", "specialisation")
    )
    gap = max(0.0, WEIGHTS.floor - found.coverage_entropy)
    assert coverage == pytest.approx(WEIGHTS.coverage * gap, abs=1e-6)
    assert specialisation == pytest.approx(WEIGHTS.specialisation * found.pair_entropy, abs=1e-6)


def test_routing_teaches_the_head_alone(dataset: Dataset) -> None:
    step = Step.of(dataset)
    torch.stack([*step.routed().terms.values()]).sum().backward()
    found = gradients(step.magnet)
    assert {name for name, size in found.items() if size > 0} == {
        name for name in found if name.startswith("head.")
    }
