import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.native.kernels import kernels
from service.recommend.explanation import (
    BIAS_PARTS,
    active_experts,
    bias_parts,
    largest_parts,
    largest_words,
    part_sums,
)


def test_active_experts_are_those_with_a_weight_largest_contribution_first() -> None:
    weight_CK = np.array(
        [[0.7, 0, 0.3, 0], [0.2, 0.4, 0.1, 0.3], [0, 1, 0, 0], [0.5, 0, 0, 0.5]], dtype=np.float32
    )
    contribution_CK = np.array(
        [[1, 9, 2, 9], [3, 1, 1, 2], [9, -1, 9, 9], [0, 9, 9, 0]], dtype=np.float32
    )
    assert active_experts(weight_CK, contribution_CK).tolist() == [
        [2, 0, -1, -1],
        [0, 3, 1, 2],
        [1, -1, -1, -1],
        [0, 3, -1, -1],
    ]


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(9, 2, 3), (1, 1, 1), (4, 3, 2)]))
def test_scores_are_taken_apart_alike_by_numpy_and_in_c(seed, shape) -> None:
    compiled = kernels()
    if compiled is None:
        pytest.skip("not compiled: python -m model.runtime.native.build")
    rng = np.random.default_rng(seed)
    contribution_CKVM = rng.normal(0, 1, (6, *shape)).astype(np.float32)
    weight_CK = rng.choice([0, 0.25, 0.5], (6, shape[0])).astype(np.float32)
    contribution_CKVM[weight_CK == 0] = 0
    bias_C = rng.normal(0, 2, 6).astype(np.float32)
    given_ = weight_CK, contribution_CKVM, bias_C, rng.choice([0, 5], 6)
    found, expected = compiled.sum_parts(*given_), part_sums(*given_)
    for name, own in found._asdict().items():
        assert own == pytest.approx(getattr(expected, name), abs=1e-5), name


SHARE = "% of the positive contributions"
NOT_ABOVE_ZERO = "the score is not above zero"


@pytest.mark.parametrize(
    ("modalities", "bias", "words"),
    [
        ({"text": 0.6, "behaviour": 0.3}, 0.1, f"mostly text (60 {SHARE}), then "),
        ({"text": 0.9, "behaviour": 0.05}, 0.05, f"mostly text (90 {SHARE})"),
        ({"text": 0.4, "behaviour": 0.35}, 0.25, f"led by text (40 {SHARE}), then "),
        ({"text": -0.3, "behaviour": 0.1}, 0.3, f"mostly popularity (75 {SHARE}), then "),
        (
            {"text": -1.0, "behaviour": 0.1},
            0.3,
            f"{NOT_ABOVE_ZERO}; the lowest contribution is text",
        ),
        (
            {"text": -1.0, "behaviour": -2},
            -1.5,
            f"{NOT_ABOVE_ZERO}; the lowest contribution is beh",
        ),
        ({"text": 0.0}, 0.0, NOT_ABOVE_ZERO),
    ],
)
def test_words_are_true_to_the_numbers(modalities, bias: float, words: str) -> None:
    names, parts = (*modalities, "popularity"), [*modalities.values(), bias]
    other = [0.0] * (len(parts) - 1) + [1.0]
    said, beside = (largest_words(names, code) for code in largest_parts(np.array([parts, other])))
    assert beside == f"mostly popularity (100 {SHARE})"
    assert said.startswith(words)
    assert ("then" in said) == ("then" in words)


def test_the_bias_of_an_item_that_nobody_has_chosen_is_newness() -> None:
    bias_N, popularity_N = np.float32([0.5, -0.25]), np.array([3, 0])
    assert bias_parts(bias_N, popularity_N).tolist() == [[0.5, 0], [0, -0.25]]
    codes = largest_parts(np.array([[0.1, 0.9, 0], [0.1, 0, 0.9]]))
    popular, new = (largest_words(("text", *BIAS_PARTS), code) for code in codes)
    assert popular.startswith("mostly popularity (90 %")
    assert new.startswith("mostly newness (90 %")
