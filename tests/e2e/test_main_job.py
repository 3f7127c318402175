"""The main job over real processes and sockets: fit, publish, serve, explain, publish again."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from model.artifact.files import read_artifact
from tests.waiting import PATIENCE_SECONDS, until

PROJECT = Path(__file__).parents[2]
USER = "kündin 7"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def publish(artifact: Path, redis_url: str) -> str:
    command = [sys.executable, "-m", "deploy.cli", "publish", artifact, "--redis-url", redis_url]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    version = read_artifact(artifact).manifest.model_version
    assert f"{version} is live" in done.stderr
    return version


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[httpx2.Client]:
    """The service in a process of its own, before anything is published."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    env = {**os.environ, "REDIS_URL": redis_url}
    with (
        (tmp_path / "service.log").open("wb") as log,
        subprocess.Popen(
            [*command, "--port", port], cwd=PROJECT, env=env, stdout=log, stderr=log
        ) as process,
        httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        try:
            until(lambda: answers(client))
            yield client
        finally:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) in (0, -15)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


def served(client: httpx2.Client) -> str | None:
    answer = client.get("/v1/model")
    return str(answer.json()["model_version"]) if answer.status_code == 200 else None


def check_items(items: list[dict[str, Any]]) -> None:
    """Scores fall, and each is its bias plus what its experts contribute."""
    assert all(better["score"] >= worse["score"] for better, worse in pairwise(items))
    for item in items:
        contributions = [expert["contribution"] for expert in item["experts"]]
        assert item["score"] == pytest.approx(item["bias"] + sum(contributions), rel=1e-6, abs=1e-5)
        assert sum(expert["weight"] for expert in item["experts"]) == pytest.approx(1, abs=1e-5)
        assert item["title"].endswith(item["item_id"].removeprefix("i'"))


def test_from_data_to_explained_recommendations(
    fitted: Callable[[int], Path], shop: Path, redis_url: str, service: httpx2.Client
) -> None:
    assert service.get("/readyz").status_code == 503
    first = publish(fitted(1), redis_url)
    until(lambda: service.get("/readyz").status_code == 200)

    answer = service.get(f"/v1/users/{USER}/recommendations", params={"k": 5}).json()
    assert answer["model_version"] == first
    assert answer["fallback"] is None
    assert len(answer["items"]) == 5
    check_items(answer["items"])
    lines = (shop / "shop.inter").read_text().splitlines()
    seen = {line.split("\t")[1] for line in lines if line.startswith(f"{USER}\t")}
    assert seen.isdisjoint(item["item_id"] for item in answer["items"])

    best = answer["items"][0]
    why = service.get(f"/v1/users/{USER}/explanations/{best['item_id']}").json()
    assert why["score"] == pytest.approx(best["score"], rel=1e-6, abs=1e-5)
    assert why["rank"] == 1
    total = sum(expert["contribution"] for expert in why["experts"])
    assert why["score"] == pytest.approx(why["bias"] + total, rel=1e-6, abs=1e-5)
    assert sum(why["by_modality"].values()) == pytest.approx(total, rel=1e-6, abs=1e-5)

    session = {"session_items": sorted(seen)[:3], "k": 5}
    visitor = service.post("/v1/recommendations", json=session).json()
    check_items(visitor["items"])
    assert {item["source"] for item in visitor["items"]} == {"session"}

    stranger = service.get("/v1/users/nobody/recommendations", params={"k": 5}).json()
    assert stranger["fallback"] == "popular"
    assert len(stranger["items"]) == 5


def test_a_new_version_is_followed_without_a_restart(
    fitted: Callable[[int], Path], redis_url: str, service: httpx2.Client
) -> None:
    first = publish(fitted(1), redis_url)
    until(lambda: served(service) == first)
    second = publish(fitted(2), redis_url)
    assert second != first

    seen_versions = set()

    def sees_the_second() -> bool:
        answer = service.get(f"/v1/users/{USER}/recommendations")
        assert answer.status_code == 200
        check_items(answer.json()["items"])
        seen_versions.add(answer.json()["model_version"])
        return second in seen_versions

    until(sees_the_second)
    assert seen_versions <= {first, second}

    publish(fitted(1), redis_url)
    until(lambda: served(service) == first)
