"""What is known of a user, from the model and from their latest events."""

import pytest

EVENT = {"user_id": "visitor", "type": "click", "timestamp": "2026-01-01T12:00:00Z"}


def report(client, **changes: str) -> None:
    events = [EVENT | {"event_id": f"detail-{changes}"} | changes]
    assert client.post("/v1/feedback", json={"events": events}).status_code == 200


def detail(client, user_id: str, **params: int):
    answer = client.get(f"/v1/users/{user_id}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_user_of_the_model_is_shown_with_history_and_taste(client, artifact) -> None:
    tensors = artifact.tensors
    start, length = tensors["seen_offsets"][4], tensors["history_lengths"][4]
    rows = tensors["seen_items"][start : start + length]
    answer = detail(client, "u004")
    assert (answer["in_model"], answer["source"], answer["live_events"]) == (True, "model", 0)
    assert [each["item_id"] for each in answer["history"]] == [f"i{row:03d}" for row in rows[::-1]]
    assert not any(each["live"] for each in answer["history"])
    assert answer["events"] == []
    taste = answer["taste"]
    assert sum(taste["by_modality"].values()) == pytest.approx(1, abs=1e-6)
    assert sum(each["weight"] for each in taste["experts"]) == pytest.approx(1, abs=1e-5)
    named = [row for row in rows if row != 7]
    even = sum(row % 2 == 0 for row in named) / len(named)
    shares = {each["name"]: each["share"] for each in taste["categories"]}
    assert shares.get("even", 0) == pytest.approx(even, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)


def test_the_taste_is_that_of_the_list(client) -> None:
    taste = detail(client, "u004")["taste"]
    items = client.post(
        "/v1/recommendations", json={"user_id": "u004", "k": 50, "explain": "full"}
    ).json()["items"]
    assert taste["items"] == len(items) == 50
    weights = {}
    for item in items:
        for expert in item["experts"]:
            weights[expert["name"]] = weights.get(expert["name"], 0) + expert["weight"] / 50
    assert {x["name"]: x["weight"] for x in taste["experts"]} == pytest.approx(weights, abs=1e-5)
    behaviour = sum(item["by_modality"]["behaviour"] for item in items)
    positive = sum(
        max(0, sum(item["by_modality"][name] for item in items)) for name in taste["by_modality"]
    )
    assert taste["by_modality"]["behaviour"] == pytest.approx(behaviour / positive, abs=1e-5)


def test_a_visitor_is_known_by_their_events(client) -> None:
    assert client.get("/v1/users/visitor").status_code == 404
    report(client, item_id="i003")
    report(client, item_id="unheard")
    answer = detail(client, "visitor")
    assert (answer["in_model"], answer["source"], answer["live_events"]) == (False, "live", 1)
    assert answer["history"] == [{"item_id": "i003", "title": "Title 3", "live": True}]
    events = [(each["item_id"], each["title"], each["type"]) for each in answer["events"]]
    assert events == [("unheard", None, "click"), ("i003", "Title 3", "click")]
    assert answer["taste"]["categories"] == [{"name": "odd", "share": 1.0}]


def test_whoever_has_only_disliked_has_no_taste_yet(client) -> None:
    report(client, item_id="i003", type="dislike")
    answer = detail(client, "visitor")
    assert (answer["source"], answer["history"], answer["taste"]) == ("popular", [], None)
    assert [each["type"] for each in answer["events"]] == ["dislike"]


def test_a_long_history_is_cut(client) -> None:
    whole, cut = detail(client, "u004"), detail(client, "u004", limit=1)
    assert cut["history"] == whole["history"][:1]
    assert cut["history_items"] == len(whole["history"]) > 1
    assert client.get("/v1/users/u004", params={"limit": 0}).status_code == 422


def test_a_folder_knows_its_own_users(disk_client) -> None:
    assert detail(disk_client, "u004")["in_model"]
    problem = disk_client.get("/v1/users/nobody")
    assert problem.status_code == 404
    assert "'nobody' is not known" in problem.json()["detail"]


def test_of_whom_redis_cannot_be_asked_nothing_false_is_said(
    redis_url, artifact, publish, serving, following, until, proxy, valkey_server
) -> None:
    publish(redis_url, artifact)
    line = proxy(valkey_server.port)
    with serving(following(line.url)) as client:
        until(client.ready)
        client.recommend("u004")
        line.cut()
        kept = detail(client, "u004")
        assert any("events since" in warning for warning in kept["warnings"])
        for unread in ("u006", "visitor"):
            answer = client.get(f"/v1/users/{unread}")
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
