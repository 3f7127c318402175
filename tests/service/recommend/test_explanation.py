import numpy as np
import pytest

from service.recommend.explanation import (
    BIAS_PARTS,
    active_experts,
    bias_parts,
    largest_parts,
    largest_words,
)


def test_active_experts_are_those_with_a_weight_largest_contribution_first() -> None:
    weight_CK = np.array(
        [[0.7, 0, 0.3, 0], [0.2, 0.4, 0.1, 0.3], [0, 1, 0, 0], [0.5, 0, 0, 0.5]], dtype=np.float32
    )
    contribution_CK = np.array(
        [[1, 9, 2, 9], [3, 1, 1, 2], [9, -1, 9, 9], [0, 9, 9, 0]], dtype=np.float32
    )
    expert_CA, is_there_CA = active_experts(weight_CK, contribution_CK)
    found = [row[there].tolist() for row, there in zip(expert_CA, is_there_CA, strict=True)]
    assert found == [[2, 0], [0, 3, 1, 2], [1], [0, 3]]


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
