"""More requests than may wait."""

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
