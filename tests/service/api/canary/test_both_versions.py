"""Both versions that are served can be asked for by name, to compare what they make of one user."""

import pytest

from model.registry.canary import Canary
from model.registry.keys import KeySpace

KEYS = KeySpace()


@pytest.fixture
def both(store, replicas, make_artifact, until, start, served):
    """A replica that serves v2 to half of the users beside v1, and who they are."""
    store.add(make_artifact("v2", 2))
    one, _ = replicas
    assert start(one).status_code == 200
    until(lambda: served(one) == "v2")
    return one, Canary.parse(store.get(KEYS.canary))


def post(client, path: str, **body):
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_any_user_gets_the_version_that_is_named_in_all_that_is_asked(both, users) -> None:
    one, canary = both
    differ = 0
    for user in users:
        asked = {"user_id": user, "k": 5}
        usual = post(one, "recommendations", **asked)
        named = {
            version: post(one, "recommendations", **asked, model_version=version)
            for version in ("v1", "v2")
        }
        own = "v2" if canary.takes(user) else "v1"
        assert named[own]["items"] == usual["items"]
        differ += named["v1"]["items"] != named["v2"]["items"]
        for version, found in named.items():
            assert found["model_version"] == version
            assert found["variant"] == {"v1": "champion", "v2": "challenger"}[version]
            item = found["items"][0]
            asked_of = {"user_id": user, "model_version": version}
            why = post(one, "explain", **asked_of, item_id=item["item_id"])
            scored = post(one, "score", **asked_of, items=[item["item_id"]])
            assert why["model_version"] == scored["model_version"] == version
            assert why["score"] == pytest.approx(item["score"], abs=1e-5)
            assert scored["items"][0]["score"] == pytest.approx(item["score"], abs=1e-5)
    assert differ == len(users)
    session = {"session_items": ["i001"]}
    assert post(one, "recommendations", **session, model_version="v2")["model_version"] == "v2"


def test_a_list_of_the_other_version_is_no_part_of_the_experiment(both, users, until) -> None:
    one, canary = both
    lists = {
        each: f'magnet_experiment_lists_total{{variant="{each}"}}'
        for each in ("champion", "challenger")
    }
    for user in users:
        other = "v1" if canary.takes(user) else "v2"
        post(one, "recommendations", user_id=user, model_version=other)
        post(one, "recommendations:batch", requests=[{"user_id": user, "model_version": other}])
    one.recommend(users[0])
    own = canary.variant_of(users[0])
    until(lambda: one.get("/v1/experiments/current").json()[own]["lists"] == 1)
    assert {each: one.metric(sample) for each, sample in lists.items()} == {
        each: float(each == own) for each in lists
    }


def test_a_version_that_is_not_served_is_refused_by_name(both) -> None:
    one, _ = both
    for path, body in {
        "recommendations": {},
        "score": {"items": ["i001"]},
        "explain": {"item_id": "i001"},
    }.items():
        asked = {"user_id": "u001", "model_version": "v9"} | body
        answer = one.post(f"/v1/{path}", json=asked)
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["field"] == "model_version"
        assert fault["message"] == "'v9' is not served: v1 is live, and v2 is the canary"
    asked = [{"user_id": "u001"}, {"user_id": "u001", "model_version": "v9"}]
    answer = one.post("/v1/recommendations:batch", json={"requests": asked})
    assert answer.json()["errors"][0]["field"] == "requests.1.model_version"
