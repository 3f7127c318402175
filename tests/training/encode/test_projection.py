import numpy as np
import pytest

from training.encode.encoders import EncoderError
from training.encode.folder import principal_components


def test_two_components_hold_what_varies_in_two_directions() -> None:
    rng = np.random.default_rng(0)
    hidden_N2 = rng.normal(size=(200, 2)) * (5.0, 1.0)
    axes_2F, _ = np.linalg.qr(rng.normal(size=(10, 2)))
    vectors = [*(hidden_N2 @ axes_2F.T + 3.0).astype(np.float32)]
    project = principal_components(vectors, 2)
    found_NP = np.stack([project(vector_F) for vector_F in vectors])
    assert found_NP.dtype == np.float32
    centred_N2 = hidden_N2 - hidden_N2.mean(axis=0)
    np.testing.assert_allclose(  # distances are kept, and nothing else is to be told
        found_NP @ found_NP.T, centred_N2 @ centred_N2.T, atol=1e-3
    )
    assert found_NP[:, 0].var() > found_NP[:, 1].var()


@pytest.mark.parametrize("shape", [(3, 10), (10, 3)])
def test_more_components_than_there_can_be(shape: tuple[int, int]) -> None:
    with pytest.raises(EncoderError, match="--pca 3 at most"):
        principal_components([*np.ones(shape, np.float32)], 4)
