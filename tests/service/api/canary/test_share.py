"""Who gets a canary: always the same share, on every replica, in whatever they ask."""

import math

import pytest

from model.registry.canary import Canary
from model.registry.keys import KeySpace

KEYS = KeySpace()


def variants(client, users: list[str]) -> dict[str, str]:
    """By user, in batches."""
    found = {}
    for first in range(0, len(users), 100):
        some = users[first : first + 100]
        requests = [{"user_id": user, "k": 1, "explain": "none"} for user in some]
        answer = client.post("/v1/recommendations:batch", json={"requests": requests}).json()
        for user, response in zip(some, answer["responses"], strict=True):
            expected = {"champion": "v1", "challenger": "v2"}[response["variant"]]
            assert response["model_version"] == expected
            found[user] = response["variant"]
    return found


def test_a_share_of_the_users_gets_it_the_same_ones_everywhere(
    store, replicas, make_artifact, until, start, served, latest
) -> None:
    store.add(make_artifact("v2", 2))
    one, other = replicas
    pointers = start(one, share=0.2).json()
    assert (pointers["live"], pointers["canary"]["model_version"]) == ("v1", "v2")
    until(lambda: served(one) == served(other) == "v2")
    users = [f"somebody {number}" for number in range(2000)]
    found = variants(one, users)
    challenged = {user for user, variant in found.items() if variant == "challenger"}
    assert abs(len(challenged) - 400) < 4 * math.sqrt(2000 * 0.2 * 0.8)
    assert variants(other, users) == found
    assert start(other, share=0.4).status_code == 200
    until(lambda: one.metric('magnet_canary_share{model_version="v2"}') == 0.4)
    more = {user for user, variant in variants(one, users).items() if variant == "challenger"}
    assert more > challenged
    assert latest(one)["started_at"] == pointers["canary"]["started_at"]


def test_all_that_a_user_gets_is_of_one_version(
    store, replicas, make_artifact, until, start, served, users
) -> None:
    store.add(make_artifact("v2", 2))
    one, other = replicas
    start(one)
    until(lambda: served(one) == served(other) == "v2")
    canary = Canary.parse(store.get(KEYS.canary))
    for user in users:
        expected = ("challenger", "v2") if canary.takes(user) else ("champion", "v1")
        listed = one.recommend(user)
        item = listed["items"][0]
        explained = other.get(f"/v1/users/{user}/explanations/{item['item_id']}").json()
        scored = other.post("/v1/score", json={"user_id": user, "items": [item["item_id"]]}).json()
        for answer in (listed, explained, scored):
            assert (answer["variant"], answer["model_version"]) == expected
        assert explained["score"] == pytest.approx(item["score"], abs=1e-5)
    session = one.post("/v1/recommendations", json={"session_items": ["i001"]}).json()
    assert (session["variant"], session["model_version"]) == ("champion", "v1")
    answered = 'magnet_answer_seconds_count{variant="challenger"}'
    assert one.metric(answered) == sum(map(canary.takes, users))
    weights = 'magnet_served_expert_weight_total{expert="balanced",variant="challenger"}'
    assert one.metric(weights) > 0


def test_feedback_says_which_variant_was_answered(
    store, replicas, make_artifact, until, start, served
) -> None:
    store.add(make_artifact("v2", 2))
    one, _ = replicas
    start(one)
    until(lambda: served(one) == "v2")
    common = {"user_id": "u001", "item_id": "i001", "type": "click"}
    common["timestamp"] = "2026-01-01T12:00:00Z"
    said = [
        {"model_version": "v2"},
        {"model_version": "v1"},
        {"model_version": "v0"},
        {},
        {"model_version": "v1", "variant": "challenger"},
    ]
    events = [common | {"event_id": f"e{number}"} | each for number, each in enumerate(said)]
    assert one.post("/v1/feedback", json={"events": events}).json()["accepted"] == 5
    kept = [entry[b"event"].decode() for _, entry in store.xrange(KEYS.feedback)]
    expected = ['"challenger"', '"champion"', "null", "null", '"challenger"']
    assert [text.partition('"variant":')[2].split(",")[0] for text in kept] == expected


def test_a_restarted_replica_is_ready_with_both(
    store, replicas, make_artifact, serving, following, until, start, served, users
) -> None:
    store.add(make_artifact("v2", 2))
    one, _ = replicas
    start(one)
    until(lambda: served(one) == "v2")
    canary = Canary.parse(store.get(KEYS.canary))
    theirs = next(user for user in users if canary.takes(user))
    with serving(following()) as restarted:
        until(restarted.ready)
        assert restarted.recommend(theirs)["model_version"] == "v2"


def test_what_cannot_be_a_canary_is_refused_and_says_why(
    store, replicas, make_artifact, until, start
) -> None:
    store.add(make_artifact("v2", 2))
    store.add(make_artifact("v3", 3))
    one, _ = replicas

    def refusal(answer) -> tuple[int, str]:
        return answer.status_code, answer.json()["detail"]

    status, said = refusal(start(one, "v9"))
    assert status == 404
    assert "there is no version 'v9'" in said
    status, said = refusal(start(one, "v1"))
    assert (status, said) == (409, "version 'v1' is live: everybody gets it already")
    for share in (0, -0.1, 0.6):
        assert refusal(start(one, share=share))[0] == 422
    one.post("/v1/models/v1:activate", json={"pin": True})
    status, said = refusal(start(one))
    assert status == 409
    assert "'v1' is pinned" in said
    one.post("/v1/models:unpin")
    assert start(one).status_code == 200
    status, said = refusal(start(one, "v3"))
    assert status == 409
    assert "'v2' is the canary already, for 50% of the users; stop or promote it" in said
    assert Canary.parse(store.get(KEYS.canary)).version == "v2"


def test_a_folder_has_no_canary(disk_client, start) -> None:
    assert start(disk_client).status_code == 501
    assert disk_client.post("/v1/models:stop-canary").status_code == 501
    assert disk_client.get("/v1/model").json()["challenger"] is None
