import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import httpx2
import pytest
import uvicorn

from service.app import create_app
from service.ops.settings import Settings
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture(scope="session")
def url(artifact_dir: Path) -> Iterator[str]:
    """A service of this machine that serves the small artifact from disk, ready."""
    application = create_app(Settings(artifact_dir=artifact_dir))
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with httpx2.Client(base_url=url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        until(lambda: client.get("/readyz").status_code == 200)
    yield url
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)
