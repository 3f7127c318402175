import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.retrieval.bounds import ScoreBound


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7))
def test_no_routing_gets_above_it(seed: int, num_modalities: int, num_experts: int) -> None:
    rng = np.random.default_rng(seed)
    templates_KM = rng.dirichlet(np.ones(num_modalities), num_experts)
    similarity_VMC = rng.uniform(-1, 1, (2, num_modalities, 50))
    similarity_VMC[0, 0] += rng.normal(0, rng.choice([0, 0.3, 10]), 50)  # the item-item score
    weight_CK = rng.dirichlet(np.full(num_experts, 0.2), 50)
    view_C = rng.random(50)
    fused_MC = similarity_VMC[0] * view_C + similarity_VMC[1] * (1 - view_C)
    score_C = 5 * np.einsum("ck,km,mc->c", weight_CK, templates_KM, fused_MC)
    bound = ScoreBound(templates_KM.astype(np.float32), 5.0)
    similarity_GBC = similarity_VMC.reshape(2 * num_modalities, 1, 50).astype(np.float32)
    assert (bound.above_bias(similarity_GBC)[0] >= score_C - 1e-5).all()


def test_it_is_reached_where_one_expert_decides() -> None:
    bound = ScoreBound(np.array([[0.8, 0.2], [0.2, 0.8]], dtype=np.float32), 5.0)
    similarity_GBC = np.array([[[0.9]], [[0.1]], [[0.5]], [[0.0]]], dtype=np.float32)
    assert np.allclose(bound.above_bias(similarity_GBC), 5 * (0.8 * 0.9 + 0.2 * 0.1))
