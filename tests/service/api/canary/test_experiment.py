"""A canary is an experiment: both replicas count into one, users are compared, and it is told."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model.registry.canary import Canary
from model.registry.keys import KeySpace

KEYS = KeySpace()
PATH = "/v1/experiments/current"
_number = itertools.count()


@pytest.fixture
def begun(store, replicas, make_artifact, until, start, served):
    """Both replicas serve v2 to half of the users beside v1."""
    store.add(make_artifact("v2", 2))
    one, other = replicas
    assert start(one).status_code == 200
    until(lambda: served(one) == served(other) == "v2")
    return one, other


def told(client) -> dict[str, Any]:
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def counts(client, what: str) -> tuple[int, int]:
    """Of champion and challenger."""
    found = told(client)
    return found["champion"][what], found["challenger"][what]


def event(user: str, answer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A click on the first item of an answer, just now."""
    found = {
        "event_id": f"x{next(_number)}",
        "user_id": user,
        "item_id": "i001",
        "type": "click",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    if answer is not None:
        found |= {name: answer[name] for name in ("variant", "model_version", "request_id")}
    return found | changes


def report(client, *events: dict[str, Any]) -> None:
    answer = client.post("/v1/feedback", json={"events": list(events)})
    assert answer.status_code == 200, answer.text


def test_two_replicas_count_into_one_experiment(begun, store, users, until) -> None:
    one, other = begun
    canary = Canary.parse(store.get(KEYS.canary))
    expected = [sum(canary.takes(u) is new for u in users) for new in (False, True)]
    answers = {user: one.recommend(user) for user in users}
    for user in users:
        other.recommend(user)
    until(lambda: sum(counts(one, "lists")) == 2 * len(users))
    found = told(other)
    variants = [found["champion"], found["challenger"]]
    assert [each["lists"] for each in variants] == [2 * count for count in expected]
    assert [each["users"] for each in variants] == expected
    assert [each["model_version"] for each in variants] == ["v1", "v2"]
    assert found["outcome"] is None
    assert found["verdict"] == "undecided"

    clicked, bought = users[:20], users[:5]
    report(one, *(event(user, answers[user]) for user in clicked))
    report(other, *(event(user, answers[user], type="purchase") for user in bought))
    found = told(one)
    for name, new in (("champion", False), ("challenger", True)):
        each = found[name]
        for what, those in (("clicked", clicked), ("purchased", bought)):
            count = sum(canary.takes(user) is new for user in those)
            assert each[f"users_{what}"] == each[f"lists_{what}"] == count
        assert each["click_rate"] == each["users_clicked"] / each["users"]
        assert each["list_click_rate"] == each["lists_clicked"] / each["lists"]
    rates = [found[name]["click_rate"] for name in ("champion", "challenger")]
    assert found["difference"] == pytest.approx(rates[1] - rates[0])
    assert found["interval"]["low"] < found["difference"] < found["interval"]["high"]
    assert found["purchases"]["difference"] is not None
    shown = one.metric('magnet_experiment_lists_total{variant="champion"}')
    shown += other.metric('magnet_experiment_lists_total{variant="champion"}')
    assert shown == 2 * expected[0]
    purchased = 'magnet_experiment_responses_total{response="purchased",variant="champion"}'
    assert other.metric(purchased) == found["champion"]["lists_purchased"]


def test_a_list_counts_once_and_a_user_once(begun, users, until) -> None:
    one, other = begun
    first, second = one.recommend(users[0]), one.recommend(users[0])
    place = ("champion", "challenger").index(first["variant"])
    until(lambda: counts(one, "lists")[place] == 2)
    click = event(users[0], first)
    report(one, click)
    report(other, click)  # a duplicate
    report(other, event(users[0], first))
    assert (counts(one, "lists_clicked")[place], counts(one, "users_clicked")[place]) == (1, 1)
    report(one, event(users[0], second), event(users[0], second, type="purchase"))
    assert (counts(one, "lists_clicked")[place], counts(one, "users_clicked")[place]) == (2, 1)
    assert counts(one, "lists_purchased")[place] == counts(one, "users_purchased")[place] == 1
    without = {name: first[name] for name in ("variant", "model_version")}
    report(one, event(users[0], **without), event(users[0], **without))
    assert counts(one, "lists_clicked")[place] == 3, "those without a list count as one a day"


def test_what_says_nothing_of_a_list_is_not_counted(begun, users, until) -> None:
    one, _ = begun
    answer = one.recommend(users[0])
    place = ("champion", "challenger").index(answer["variant"])
    until(lambda: counts(one, "users")[place] == 1)
    wrong = "challenger" if answer["variant"] == "champion" else "champion"
    before = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    report(
        one,
        event(users[0], answer, type="impression"),
        event(users[0], answer, type="dislike"),
        event(users[0], answer, variant=wrong),
        event(users[0], answer, model_version="v0"),
        event(users[0], answer, timestamp=before),
        event(users[0]),
        event(users[1], variant="champion"),
        event(users[1], variant="challenger"),  # was shown nothing
    )
    assert counts(one, "users_clicked") == counts(one, "lists_clicked") == (0, 0)
    report(one, event(users[0], answer, variant=None))
    assert counts(one, "users_clicked")[place] == 1, "the version says which variant it was"


def test_sessions_are_no_part_of_it_and_batches_and_scores_are(begun, users, until) -> None:
    one, _ = begun
    one.post("/v1/recommendations", json={"session_items": ["i001"]})
    requests = [{"user_id": user, "k": 2} for user in users[:4]] + [{"session_items": ["i001"]}]
    one.post("/v1/recommendations:batch", json={"requests": requests})
    one.post("/v1/score", json={"user_id": users[0], "items": ["i001", "i002"]})
    until(lambda: sum(counts(one, "lists")) == 5)
    assert sum(counts(one, "users")) == 4


def test_a_new_share_begins_a_new_count(begun, users, until, start) -> None:
    one, other = begun
    for user in users:
        one.recommend(user)
    until(lambda: sum(counts(one, "users")) == len(users))
    since = told(one)["counted_since"]
    assert start(one, share=0.2).status_code == 200
    share = 'magnet_canary_share{model_version="v2"}'
    until(lambda: one.metric(share) == other.metric(share) == 0.2)
    other.recommend(users[0])
    until(lambda: sum(counts(one, "users")) == 1)
    assert told(one)["counted_since"] > since


def test_the_end_leaves_the_counts_as_they_are(begun, users, until, served) -> None:
    one, other = begun
    answers = {user: one.recommend(user) for user in users}
    until(lambda: sum(counts(one, "lists")) == len(users))
    report(one, event(users[0], answers[users[0]]))
    one.post("/v1/models:stop-canary")
    until(lambda: served(one) is served(other) is None)
    one.recommend(users[0])
    report(one, event(users[1], answers[users[1]]))
    found = told(other)
    assert (found["outcome"], found["challenger"]["model_version"]) == ("stopped", "v2")
    assert sum(found[name]["lists"] for name in ("champion", "challenger")) == len(users)
    assert sum(found[name]["users_clicked"] for name in ("champion", "challenger")) == 1


def test_there_must_have_been_a_canary(replicas, disk_client) -> None:
    one, _ = replicas
    answer = one.get(PATH)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:magnet:problem:no-experiment"
    assert "`magnet canary VERSION`" in answer.json()["detail"]
    assert disk_client.get(PATH).status_code == 501


def test_a_canary_that_nobody_has_asked_is_told_of(begun) -> None:
    one, _ = begun
    found = told(one)
    assert (found["champion"]["model_version"], found["counted_since"]) == (None, None)
    assert found["champion"]["click_rate"] is found["difference"] is None
    assert found["summary"].startswith("Undecided: users of both variants have to be answered")


def test_what_cannot_be_counted_fails_nothing(begun, store, users, caplog) -> None:
    one, _ = begun
    canary = Canary.parse(store.get(KEYS.canary))
    key, *_ = KEYS.experiment(canary.version, canary.started_at)
    store.set(key, "no hash")
    report(one, event(users[0], one.recommend(users[0])))
    assert store.xlen(KEYS.feedback) == 1
    assert "1 responses are not in the experiment" in caplog.text
    assert told(one)["summary"].startswith("The counts cannot be read")


def test_it_expires(begun, store, users, until) -> None:
    one, _ = begun
    answer = one.recommend(users[0])
    until(lambda: sum(counts(one, "users")) == 1)
    report(one, event(users[0], answer))
    canary = Canary.parse(store.get(KEYS.canary))
    for key in KEYS.experiment(canary.version, canary.started_at):
        assert 29 * 86400 < store.ttl(key) <= 30 * 86400
        text = store.dump(key)
        assert users[0].encode() not in text, "ids are hashed"
