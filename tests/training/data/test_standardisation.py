import numpy as np
import pytest

from training.data.features import WIDEST_FEATURES, ModalityFeatures, Standardisation


def features_of(x_IF: np.ndarray, missing: int = 0) -> ModalityFeatures:
    present_I = np.arange(len(x_IF)) >= missing
    return ModalityFeatures(
        x_IF=np.where(present_I[:, None], x_IF, 0).astype(np.float32), present_I=present_I
    )


def drawn(rows: int, width: int) -> np.ndarray:
    return 3 + 5 * np.random.default_rng(0).normal(size=(rows, width))


def test_mean_zero_unit_mean_variance_and_missing_rows_zero() -> None:
    features = features_of(drawn(50, 6) * np.arange(1, 7), missing=5)
    x_IF = Standardisation.of(features)(features)
    assert not x_IF[:5].any()
    np.testing.assert_allclose(x_IF[5:].mean(axis=0), 0, atol=1e-6)
    assert x_IF[5:].std() == pytest.approx(1, abs=1e-6)
    assert x_IF[5:, 5].std() > 3 * x_IF[5:, 0].std()  # one scale for all columns


def test_wide_features_keep_their_leading_components() -> None:
    width = WIDEST_FEATURES + 72
    x_IF = drawn(300, 3) @ np.random.default_rng(1).normal(size=(3, width))
    features = features_of(x_IF)
    kept_IG = Standardisation.of(features)(features)
    assert kept_IG.shape == (300, WIDEST_FEATURES)
    centred_IF = x_IF - x_IF.mean(axis=0)
    full, kept = centred_IF @ centred_IF.T, kept_IG @ kept_IG.T
    assert np.corrcoef(full.ravel(), kept.ravel())[0, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("width", [6, WIDEST_FEATURES + 10])
def test_others_are_treated_as_the_first_were(width: int) -> None:
    features = features_of(drawn(200, width))
    standardise = Standardisation.of(features)
    some = features_of(features.x_IF[:20])
    np.testing.assert_allclose(standardise(some), standardise(features)[:20], atol=1e-5)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 wide, expected 6"):
        Standardisation.of(features_of(drawn(20, 6)))(features_of(drawn(20, 5)))
