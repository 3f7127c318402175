"""Figures over seeds and leads with their intervals."""

import numpy as np
import pytest

from training.experiments.figures import Lead, figure, spread


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "ahead"), (-0.1, 0.3, "tie"), (-0.3, -0.1, "behind")]
)
def test_a_lead_that_the_interval_does_not_bear_out_is_a_tie(low, high, verdict):
    assert Lead(mean=(low + high) / 2, low=low, high=high).verdict == verdict


def test_a_lead_says_its_interval():
    assert str(Lead(mean=0.2, low=0.1, high=0.3)) == "+0.2000 [+0.1000, +0.3000] ahead"


def test_users_without_a_value_have_no_lead():
    with pytest.raises(ValueError, match="finite values only"):
        Lead.between(np.array([1.0, np.nan]), np.zeros(2))


def test_figures_have_a_spread_over_seeds_only():
    assert (figure([]), figure([0.5]), figure([0.25, 0.75])) == ("", "0.5000", "0.5000 ± 0.3536")
    assert spread([0.5]) == {"mean": 0.5, "std": 0.0}
