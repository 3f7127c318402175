import numpy as np
import pytest

from model.runtime.grown import GrownRows
from service.serving.likeness import Likeness


@pytest.mark.parametrize("added", [0, 1, 3])
def test_likeness_is_that_of_all_items_however_many_were_added(added: int) -> None:
    rng = np.random.default_rng(0)
    rows_IVMD = rng.normal(size=(5 + added, 2, 3, 4)).astype(np.float32)
    rows_IVMD /= np.linalg.norm(rows_IVMD, axis=-1, keepdims=True)
    grown = GrownRows(rows_IVMD[:5], rows_IVMD[5:])
    expected = np.einsum("vmd,ivmd->ivm", rows_IVMD[2], rows_IVMD).mean(axis=(1, 2))
    found = Likeness(rows_IVMD[:5]).to(2, grown)
    assert found == pytest.approx(np.maximum(expected, 0), abs=1e-6)
