"""More requests than may wait, and requests that take long."""

import statistics
import time
from threading import Event, Thread

import httpx2
import pytest

from model.artifact.files import write_artifact
from service.ops.settings import Settings


@pytest.fixture
def narrow(artifact, tmp_path, serving, until):
    """A service in which two requests may wait."""
    write_artifact(tmp_path, artifact)
    with serving(Settings(artifact_dir=tmp_path, max_waiting=2)) as client:
        until(client.ready)
        yield client


def test_the_excess_is_refused_with_advice_and_service_goes_on(narrow) -> None:
    crowd = {"requests": [{"user_id": "u001"}] * 50}
    refused = narrow.post("/v1/recommendations:batch", json=crowd)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["type"] == "urn:magnet:problem:overloaded"
    assert narrow.metric("magnet_overloads_total") >= 1
    assert narrow.recommend("u001")["items"]
    assert narrow.metric("magnet_batch_size_count") >= 1
    assert narrow.metric("magnet_waiting_requests") == 0


def test_what_is_served_and_how_it_is_found_is_told(narrow) -> None:
    assert narrow.get("/v1/model").json()["retrieval"] == {
        "method": "exact",
        "recall_at_20": 1.0,
        "sampled_users": 15,  # one of the sixteen has no history
    }
    assert narrow.metric('magnet_retrieval_recall{method="exact"}') == 1


def test_a_batch_of_long_lists_keeps_nobody_waiting(
    make_artifact, tmp_path, serving, until
) -> None:
    write_artifact(tmp_path, make_artifact("large", 3, num_items=1200))
    wanted = [{"user_id": f"u{user:03d}", "k": 1000, "explain": "full"} for user in range(28)]
    waits: list[float] = []
    ended = Event()

    def look(url: str) -> None:
        with httpx2.Client(base_url=url, timeout=60) as other:
            while not ended.is_set():
                started = time.monotonic()
                assert other.get("/livez").status_code == 200
                waits.append(time.monotonic() - started)

    with serving(Settings(artifact_dir=tmp_path, request_timeout_seconds=60)) as client:
        until(client.ready)
        looking = Thread(target=look, args=[str(client.base_url)])
        looking.start()
        started = time.monotonic()
        answer = client.post("/v1/recommendations:batch", json={"requests": wanted}, timeout=60)
        seconds = time.monotonic() - started
        ended.set()
        looking.join(60)
        assert client.metric("magnet_batch_size_count") >= 14  # two of 20 units at a time
    assert min(len(each["items"]) for each in answer.json()["responses"]) > 900
    assert statistics.median(waits) < seconds / 20, "the event loop stood still"
