import pytest

from model.runtime.native.kernels import Kernels, kernels


@pytest.fixture(scope="session")
def compiled() -> Kernels:
    found = kernels()
    if found is None:
        pytest.skip("not compiled: python -m model.runtime.native.build")
    return found
