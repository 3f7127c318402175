import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from model.artifact.files import Artifact
from model.artifact.manifest import EpochRecord
from model.registry.keys import KeySpace

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def viewport(request: pytest.FixtureRequest) -> dict[str, int]:
    """Of a desk, then of a phone."""
    size: dict[str, int] = request.param
    return size


@pytest.fixture
def trained(make_artifact, reported) -> Artifact:
    """A model with a report and a training history to draw."""
    artifact = reported(make_artifact("v1", 0))
    history = [
        EpochRecord(
            epoch=epoch,
            stage="coverage" if epoch < 4 else "specialisation",
            loss=3.0 / epoch,
            loss_terms={"ranking": 3.0 / epoch},
            valid_ndcg20=0.1,
            coverage_entropy=0.9,
            pair_entropy=1 - 0.1 * epoch,
            expert_shares=[0.2] * 5,
            seconds=1.0,
        )
        for epoch in range(1, 8)
    ]
    training = artifact.manifest.training.model_copy(
        update={"history": history, "trigger_epoch": 3, "best_epoch": 6}
    )
    manifest = artifact.manifest.model_copy(update={"training": training})
    return Artifact(manifest=manifest, tensors=artifact.tensors, files=artifact.files)


@pytest.fixture
def service(redis_url, valkey_server, trained, publish, serving, following, until):
    publish(redis_url, trained)
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v1": time.time()})
    with serving(following()) as client:
        until(client.ready)
        yield client


@pytest.fixture
def open_page(browser: Browser, service) -> Iterator[Callable[..., Page]]:
    """Opens the page; what its console complains of, or what it asks of others, fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_at(
        path: str = "/",
        *,
        of: Any = service,
        key: str | None = None,
        may_fail: tuple[str, ...] = (),
        **options: object,
    ) -> Page:
        context = browser.new_context(**({"viewport": DESK} | options))
        contexts.append(context)
        page = context.new_page()
        if key is not None:
            page.add_init_script(f"sessionStorage.setItem('magnet-api-key', '{key}')")
        page.on(
            "console",
            lambda message: (
                None
                if refused(message, may_fail)
                else complaints.append(f"{message.text} {message.location['url']}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: complaints.append(request.url) if foreign(request, of) else 0,
        )
        page.goto(f"{of.base_url}{path.lstrip('/')}")
        return page

    def foreign(request, of: Any) -> bool:
        return not request.url.startswith((str(of.base_url), "data:"))

    def refused(message, may_fail: tuple[str, ...]) -> bool:
        """The browser's own note of an answer such as 403, or of none."""
        return message.text.startswith("Failed to load resource") and (
            "net::ERR_" in message.text
            or any(
                part in message.location["url"]
                for part in ("/feedback", "/users/visitor-", *may_fail)
            )
        )

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []
