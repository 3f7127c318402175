from collections.abc import Iterator

import pytest

from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session", autouse=True)
def _patient() -> Iterator[None]:
    """What a request waits for before it is answered as last known; a test may set less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.api.items.SEEN_SECONDS", PATIENCE_SECONDS)
        patch.setattr("service.store.logs.READ_SECONDS", PATIENCE_SECONDS)
        yield
