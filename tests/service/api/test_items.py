"""Items that are put while a model is served: on every replica, within a second."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import Artifact, read_artifact
from model.artifact.manifest import TensorSpec
from model.artifact.tables import IdTable
from model.registry.keys import KeySpace
from service.serving import growth
from tests.service.api.test_pictures import NO_ADDRESSES


def put(client, item_id: str, **fields):
    answer = client.put(f"/v1/items/{item_id}", json=fields)
    assert answer.status_code in (200, 201), answer.text
    return answer


def found(client, title: str) -> list[str]:
    return [x["item_id"] for x in client.get("/v1/items", params={"title": title}).json()["items"]]


def ranked(client, **request) -> dict[str, float]:
    answer = client.post("/v1/recommendations", json={"k": 100, "exclude_seen": False, **request})
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}


def test_a_new_item_is_everywhere_on_every_replica(replicas, until) -> None:
    one, other = replicas
    answer = put(one, "new", title="Brand New", categories=["even"], attributes={"price": 12.5})
    assert answer.status_code == 201
    assert answer.json()["encoded_by"] == "categories"
    until(lambda: found(other, "brand new") == ["new"])
    detail = other.get("/v1/items/new").json()
    assert detail["attributes"] == {"price": 12.5}
    assert (detail["available"], detail["popularity"]) == (True, 0)
    assert detail["encoded_by"] == "categories"
    for client in replicas:
        assert "new" in ranked(client, user_id="u001"), "in a list"
        shown = ranked(client, session_items=["i010"], candidates=["new", "i011"], explain="full")
        item = shown["new"]
        parts = sum(expert["contribution"] for expert in item["experts"])
        assert item["score"] == pytest.approx(item["bias"] + parts, abs=1e-5)
        explained = client.post("/v1/explain", json={"user_id": "u001", "item_id": "new"}).json()
        assert explained["score"] == pytest.approx(ranked(client, user_id="u001")["new"]["score"])
        similar = client.get("/v1/items/new/similar").json()["items"]
        assert len(similar) == 10
        assert "new" in ranked(client, user_id="nobody", categories=["even"]), "among popular ones"
    assert ranked(one, session_items=["new"], k=3), "a session may consist of it"
    assert put(one, "new", title="Renamed").status_code == 200
    until(lambda: found(other, "renamed") == ["new"])
    assert found(other, "brand new") == []


def test_a_single_item_does_not_wait_for_those_of_a_bulk_call(
    redis_url, artifact, publish, serving, following, until, monkeypatch
) -> None:
    monkeypatch.setattr(growth, "MOST_AT_ONCE", 20)
    made: list[str] = []
    take_in = growth.GrowingModel.take_in

    def slowly(self, records):
        records = [*records]
        made.extend(record.item_id for record in records)
        time.sleep(0.04)
        take_in(self, records)

    monkeypatch.setattr(growth.GrowingModel, "take_in", slowly)
    publish(redis_url, artifact)
    many = [json.dumps({"item_id": f"m{number}", "title": "Many"}) for number in range(1_500)]
    with serving(following()) as one, serving(following()) as other:
        for client in (one, other):
            until(client.ready)
        assert one.post("/v1/items:bulk", content="\n".join(many)).status_code == 200
        until(lambda: "m100" in made)
        put(one, "single", title="Single")
        for client in (one, other):
            until(lambda client=client: found(client, "single") == ["single"])
        first = made.index("single")
        second = made.index("single", first + 1)
        assert second < 2_500, "in its turn it would come after the 3,000 of two replicas"
        put(one, "single", title="Renamed")
        for client in (one, other):
            until(lambda client=client: found(client, "renamed") == ["single"])
            assert found(client, "single") == []


@pytest.mark.parametrize("number", ["1000000000000000000000000000000", "-9223372036854775809"])
def test_a_number_that_is_too_long_stops_no_other_item(replicas, until, number) -> None:
    """Whole numbers of over 64 bits cannot be written as JSON; they are floats."""
    one, other = replicas
    body = f'{{"title": "Long", "attributes": {{"price": {number}}}}}'
    answer = one.put("/v1/items/long", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    put(other, "after", title="After")
    for client in replicas:
        until(lambda client=client: found(client, "after") == ["after"])
        assert client.get("/v1/items/long").json()["attributes"] == {"price": float(number)}


def test_it_is_as_its_categories_are(replicas, artifact) -> None:
    one, _ = replicas
    put(one, "new", categories=["odd"])
    similar = one.get("/v1/items/new/similar?k=80").json()["items"]
    rows = artifact.tensors["item_embeddings"]
    mean = np.concatenate([rows[1:7:2], rows[9::2]]).mean(axis=0)
    mean[0, 0] = 0  # nobody has chosen it

    def cosine(a, b):
        return (
            (a * b).sum(-1)
            / np.maximum(np.linalg.norm(a, axis=-1), 1e-12)
            / np.maximum(np.linalg.norm(b, axis=-1), 1e-12)
        )

    expected = cosine(rows, mean).mean(axis=(1, 2))
    for item in similar:
        assert item["similarity"] == pytest.approx(expected[int(item["item_id"][1:])], abs=1e-5)


def test_items_of_the_model_are_changed_at_once(replicas, until) -> None:
    one, other = replicas
    answer = one.patch("/v1/items/i044", json={"title": "Another", "attributes": {"brand": "x"}})
    assert answer.status_code == 200
    assert answer.json()["encoded_by"] == "model"
    until(lambda: found(other, "another") == ["i044"])
    detail = other.get("/v1/items/i044").json()
    assert (detail["title"], detail["categories"]) == ("Another", ["even"])
    one.patch("/v1/items/i044", json={"categories": ["rare"], "attributes": {"price": 3}})
    until(lambda: "i044" in ranked(other, user_id="u001", categories=["rare"]))
    detail = other.get("/v1/items/i044").json()
    assert detail["attributes"] == {"brand": "x", "price": 3}
    assert "i044" not in ranked(other, user_id="u001", categories=["even"])
    one.patch("/v1/items/i044", json={"attributes": {"brand": None}, "available": False})
    assert "i044" not in ranked(other, user_id="u001")
    assert one.patch("/v1/items/nothing", json={"title": "x"}).status_code == 404
    for part in "ab":
        many = {f"{part}{n}": n for n in range(60)}
        answer = one.patch("/v1/items/i044", json={"attributes": many})
    assert answer.status_code == 422, "120 attributes in all"
    assert answer.json()["errors"][0]["field"] == "body.attributes"


def test_a_deleted_item_is_gone_everywhere_at_once(replicas, until) -> None:
    one, other = replicas
    for item_id in ("new", "i044"):
        put(one, item_id, title="Short lived", categories=["even"])
        until(lambda item_id=item_id: item_id in ranked(other, user_id="u001"))
        assert one.delete(f"/v1/items/{item_id}").status_code == 200
        assert item_id not in ranked(other, user_id="u001")
        assert item_id not in ranked(other, user_id="nobody")
    until(lambda: other.get("/v1/items/new").status_code == 404)
    assert other.get("/v1/items/i044").json()["available"] is False
    assert other.get("/v1/items?limit=1000").json()["items"][-1]["item_id"] != "new"
    assert one.delete("/v1/items/new").status_code == 404
    assert put(one, "new", title="Back").status_code == 201
    until(lambda: "new" in ranked(other, user_id="u001"))


def test_a_replica_that_starts_and_a_new_model_have_it_too(
    replicas, artifact, make_artifact, redis_url, publish, serving, following, until
) -> None:
    one, _ = replicas
    put(one, "new", title="Brand new", categories=["even"])
    one.patch("/v1/items/i044", json={"title": "Another"})
    with serving(following()) as late:
        until(late.ready)
        assert found(late, "brand new") == ["new"]
    publish(redis_url, make_artifact("v2", 2))
    until(lambda: one.get("/v1/model").json()["model_version"] == "v2")
    assert found(one, "brand new") == ["new"]
    assert found(one, "another") == ["i044"], "said later than the model was made"
    assert "new" in ranked(one, user_id="u001")


def test_what_is_said_while_a_model_is_trained_counts_in_it(
    replicas, make_artifact, redis_url, publish, until
) -> None:
    one, other = replicas
    for row in (44, 45, 46, 47):
        one.patch(f"/v1/items/i0{row}", json={"title": f"Early {row}"})
    put(one, "early", title="Before", categories=["even"])
    assert one.delete("/v1/items/i046").status_code == 200
    read_at = datetime.now(UTC)  # by training; all that follows comes too late for it
    one.patch("/v1/items/i044", json={"title": "Late patch"})
    put(one, "i045", title="Late put", categories=["rare"])
    put(one, "i046", title="Back", categories=["odd"])
    assert one.delete("/v1/items/i047").status_code == 200
    one.patch("/v1/items/i048", json={"available": False})
    assert one.delete("/v1/items/early").status_code == 200
    made = make_artifact("v2", 2)
    times = {"items_until": read_at, "created_at": datetime.now(UTC).isoformat()}
    publish(redis_url, replace(made, manifest=made.manifest.model_copy(update=times)))
    for client in (one, other):
        until(lambda client=client: client.get("/v1/model").json()["model_version"] == "v2")
        assert found(client, "late patch") == ["i044"]
        assert found(client, "late put") == ["i045"]
        assert found(client, "back") == ["i046"]
        assert found(client, "early") == [], "the model says what training has read"
        assert "i045" in ranked(client, user_id="nobody", categories=["rare"])
        shown = ranked(client, user_id="nobody")
        assert {"i044", "i045", "i046"} <= shown.keys()
        assert not {"i047", "i048", "early"} & shown.keys()
        assert client.get("/v1/items/early").status_code == 404


def test_many_at_once(replicas, until) -> None:
    one, other = replicas
    lines = [
        json.dumps({"item_id": f"n{n}", "title": "Bulk", "categories": ["odd"]})
        for n in range(2_000)
    ]
    lines[5] = json.dumps({"item_id": "n5", "title": "Hidden", "available": False})
    answer = one.post("/v1/items:bulk", content="\n".join([*lines, ""]))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["items"], answer.json()["new"]) == (2_000, 2_000)
    assert answer.json()["encoded_by"] == {"categories": 1_999, "none": 1}
    until(lambda: other.get("/v1/items/n1999").status_code == 200)
    best = ranked(other, user_id="u001", k=1_000)
    scores = [item["score"] for item in best.values()]
    assert scores == sorted(scores, reverse=True)
    assert "n5" not in best
    again = ranked(other, user_id="u001", candidates=[*best], k=1_000)
    assert again.keys() == best.keys()
    for item_id, item in again.items():
        assert item["score"] == pytest.approx(best[item_id]["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('{"item_id": "x", "title": 1}', "line 2.title"),
        ('{"title": "x"}', "line 2.item_id"),
        ("no json", "line 2"),
        ('{"item_id": "good"}', "line 2.item_id"),
        ('{"item_id": "x", "features": {"sound": [1]}}', "line 2.features.sound"),
        ('{"item_id": "x", "features": {"text": [1e60]}}', "line 2.features.text"),
    ],
)
def test_a_faulty_line_is_named_and_nothing_is_written(replicas, line: str, field: str) -> None:
    one, _ = replicas
    answer = one.post("/v1/items:bulk", content=f'{{"item_id": "good"}}\n{line}\n')
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert one.get("/v1/items/good").status_code == 404


def test_while_redis_is_away_nothing_is_put_and_lists_go_on(
    redis_url, artifact, publish, serving, following, until, proxy, valkey_server
) -> None:
    publish(redis_url, artifact)
    line = proxy(valkey_server.port)
    with serving(following(line.url, redis_timeout_seconds=0.3)) as client:
        until(client.ready)
        put(client, "new", title="Brand new", categories=["even"])
        line.cut()
        answer = client.put("/v1/items/other", json={"title": "x"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "new" in ranked(client, user_id="u001")
        line.mend()
        until(lambda: client.put("/v1/items/other", json={"title": "x"}).status_code == 201)


def test_features_are_encoded_as_the_model_was_trained(
    redis_url, artifact_dir, tiny_data, publish, serving, following, until
) -> None:
    trained = read_artifact(artifact_dir)
    publish(redis_url, trained)
    features = {name: np.load(tiny_data / f"{name}_feat.npy")[38] for name in ("text", "picture")}
    with serving(following()) as client:
        until(client.ready)
        for wrong, said in (
            ({"text": [1.0] * 7}, "7 numbers, wanted are 8"),
            ({"sound": [1.0]}, "it has picture, text"),
        ):
            answer = client.put("/v1/items/new", json={"features": wrong})
            assert answer.status_code == 422
            (fault,) = answer.json()["errors"]
            assert fault["field"] == f"body.features.{next(iter(wrong))}"
            assert said in fault["message"]
        given = {name: vector.tolist() for name, vector in features.items()}
        answer = put(client, "new", title="Brand new", features=given)
        assert answer.json()["encoded_by"] == "features"
        likest = client.get("/v1/items/new/similar?k=1").json()["items"][0]
        assert likest["item_id"] == "i038", "the item with these features"
        items = ranked(client, user_id="u001", candidates=["new", "i038"])
        assert items["new"]["bias"] == pytest.approx(items["i038"]["bias"], abs=1e-6)
        # i038 counts among the neighbours of the new one
        assert items["new"]["score"] == pytest.approx(items["i038"]["score"], abs=0.3)


def test_texts_are_encoded_where_the_model_says_how(
    redis_url, artifact_dir, tiny_data, publish, serving, following, until
) -> None:
    trained = read_artifact(artifact_dir)
    terms = IdTable.of(["category=wool", "knit"])
    x = np.load(tiny_data / "text_feat.npy")
    made_with = {
        "text_terms_blob": terms.blob,
        "text_terms_offsets": terms.offsets,
        "text_idf": np.ones(2, dtype=np.float32),
        "text_axes": x[[37, 38]],
    }
    specs = trained.manifest.tensors | {n: TensorSpec.of(a) for n, a in made_with.items()}
    manifest = trained.manifest.model_copy(update={"tensors": specs})
    tensors = trained.tensors | made_with
    publish(redis_url, Artifact(manifest=manifest, tensors=tensors, files=trained.files))
    with serving(following()) as client:
        until(client.ready)
        answer = put(client, "put", title="Knit, knit!", categories=["none"])
        assert answer.json()["encoded_by"] == "encoder"
        put(client, "sent", features={"text": x[38].tolist()})
        one, other = (ranked(client, user_id="u001")[item_id] for item_id in ("put", "sent"))
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        put(client, "put", title="Unheard of", categories=["Wool"])
        put(client, "sent", features={"text": x[37].tolist()})
        assert ranked(client, user_id="u001")["put"]["score"] == pytest.approx(
            ranked(client, user_id="u001")["sent"]["score"], abs=1e-5
        )
        put(client, "put", title="Unheard of", categories=["none"])
        assert client.get("/v1/items/put").json()["encoded_by"] == "none"


def test_an_items_id_may_have_slashes_and_no_other_route_is_taken(replicas) -> None:
    one, _ = replicas
    assert put(one, "a%2Fb%0Ac", title="Odd").json()["item_id"] == "a/b\nc"
    assert one.get("/v1/items/a%2Fb%0Ac").json()["title"] == "Odd"
    assert one.put("/v1/items/a/similar", json={"title": "x"}).status_code == 405
    assert one.delete("/v1/items/a/availability").status_code == 405


def test_a_folder_shows_items_and_takes_none(disk_client) -> None:
    assert disk_client.get("/v1/items/i044").json()["title"] == "Title 44"
    assert disk_client.put("/v1/items/new", json={"title": "x"}).status_code == 501


def test_the_command_changes_the_catalogue(replicas, tmp_path, capsys) -> None:
    one, _ = replicas
    url = str(one.base_url).rstrip("/")

    def items(*words: object) -> str:
        assert main(["items", *map(str, words), "--url", url]) == 0
        return capsys.readouterr().out

    words = ("--title", "Brand new", "--category", "odd", "--attribute", "price=12.5")
    assert "known by: categories" in items("put", "new", *words, "--attribute", "brand=1x")
    items("patch", "new", "--title", "Renamed", "--hidden")
    detail = json.loads(items("show", "new", "--json"))
    assert (detail["title"], detail["available"]) == ("Renamed", False)
    assert detail["attributes"] == {"price": 12.5, "brand": "1x"}
    file = tmp_path / "items.jsonl"
    file.write_text("".join(f'{{"item_id": "n{n}", "title": "x"}}\n' for n in range(5_003)))
    assert items("bulk", file).splitlines()[-1].startswith("5003 items are put")
    assert "retired" in items("delete", "new")
    file.write_text('{"item_id": "good"}\n{"item_id": 1}\n')
    assert main(["items", "bulk", str(file), "--url", url]) == 1
    assert "line 2.item_id" in capsys.readouterr().err


def test_only_pictures_that_browsers_load_are_taken(client) -> None:
    for named in NO_ADDRESSES:
        line = json.dumps({"item_id": "new", "picture_url": named})
        for answer in (
            client.put("/v1/items/new", json={"picture_url": named}),
            client.patch("/v1/items/i001", json={"picture_url": named}),
            client.post("/v1/items:bulk", content=line),
        ):
            assert answer.status_code == 422, f"{named!r}: {answer.text}"
            assert "begins with http:// or https://" in answer.json()["detail"]
    for named in ("https://a.example/ü 1.jpg", "HTTP://a.example/1", "images/a:b.png", "a", ""):
        put(client, "new", picture_url=named)
    put(client, "new", picture_url="//a.example/1.jpg")
    assert client.get("/v1/items/new").json()["picture_url"] == "https://a.example/1.jpg"


def test_an_address_that_others_wrote_costs_the_picture_alone(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    record = {"item_id": "old", "title": "Old", "picture_url": "javascript:x"}
    record["updated_at"] = "2026-01-01T00:00:00Z"
    keys = KeySpace()
    with redis.Redis.from_url(redis_url) as store, serving(following()) as client:
        store.hset(keys.items, "old", json.dumps(record))
        store.zadd(keys.item_changes, {"old": 5})
        store.set(keys.items_revision, 5)
        until(lambda: client.get("/v1/items/old").status_code == 200)
        item = client.get("/v1/items/old").json()
        assert (item["title"], item["picture_url"]) == ("Old", None)
