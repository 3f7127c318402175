"""How a canary ends by people's will, and what becomes of one that cannot be loaded."""

import gc

from model.registry.keys import KeySpace
from service.serving.snapshot import Snapshot

KEYS = KeySpace()


def in_memory(version: str) -> bool:
    """Whether a model is held by anything in this process, in which the replicas run."""
    gc.collect()
    found = (each for each in gc.get_objects() if type(each) is Snapshot)
    return any(each.version == version for each in found)


def test_it_is_stopped_for_everybody_and_once(
    store, replicas, make_artifact, until, start, served, latest, ask, users
) -> None:
    store.add(make_artifact("v2", 2))
    one, other = replicas
    start(one)
    until(lambda: served(one) == served(other) == "v2")
    ask(one, 1)
    until(lambda: latest(other)["answers"] > 0)
    stopped = other.post("/v1/models:stop-canary").json()["canary"]
    assert (stopped["outcome"], stopped["reason"]) == ("stopped", "stopped by an administrator")
    until(lambda: served(one) is None and served(other) is None)
    assert {one.recommend(user)["variant"] for user in users} == {"champion"}
    again = one.post("/v1/models:stop-canary").json()["canary"]
    assert (again["ended_at"], again["reason"]) == (stopped["ended_at"], stopped["reason"])
    assert one.metric("magnet_canary_share") == 0
    until(lambda: one.recommend("u001") and other.recommend("u001") and not in_memory("v2"))


def test_to_activate_it_promotes_it_without_loading_it_again(
    store, replicas, make_artifact, until, start, served, users
) -> None:
    store.add(make_artifact("v2", 2))
    one, _ = replicas
    start(one)
    until(lambda: served(one) == "v2")
    loads = one.metric('magnet_model_loads_total{reason="",result="success"}')
    promoted = one.post("/v1/models/v2:activate", json={"pin": False}).json()
    assert (promoted["live"], promoted["previous"]) == ("v2", "v1")
    assert promoted["canary"]["outcome"] == "promoted"
    until(lambda: one.get("/v1/model").json()["model_version"] == "v2")
    assert {one.recommend(user)["variant"] for user in users} == {"champion"}
    assert one.metric('magnet_model_loads_total{reason="",result="success"}') == loads
    back = one.post("/v1/models/v1:activate", json={"pin": True}).json()
    assert back["canary"] == promoted["canary"]
    until(lambda: one.recommend("u001")["model_version"] == "v1")


def test_a_version_that_goes_live_or_is_pinned_ends_it(
    store, replicas, make_artifact, until, start
) -> None:
    store.add(make_artifact("v2", 2))
    store.add(make_artifact("v3", 3))
    one, _ = replicas
    start(one)
    ended = one.post("/v1/models/v1:activate", json={"pin": True}).json()["canary"]
    assert (ended["outcome"], ended["reason"]) == ("superseded", "v1 was pinned")
    one.post("/v1/models:unpin")
    start(one)
    kept = one.post("/v1/models/v1:activate", json={"pin": False}).json()["canary"]
    assert kept["outcome"] is None
    ended = one.post("/v1/models/v3:activate", json={"pin": False}).json()["canary"]
    assert (ended["outcome"], ended["reason"]) == ("superseded", "v3 went live")


def test_one_that_cannot_be_loaded_leaves_everybody_to_the_live_model(
    store, replicas, make_artifact, until, start, served, users
) -> None:
    store.add(make_artifact("v2", 2))
    chunk = KEYS.chunk("v2", "item_foldin", 1)
    rest = store.getrange(chunk, 1, -1)
    store.delete(chunk)
    one, _ = replicas
    missing = start(one)
    assert missing.status_code == 404
    assert "chunk 1 of 'item_foldin' is missing" in missing.json()["detail"]
    store.setrange(chunk, 1, rest)
    damaged = start(one)
    assert damaged.status_code == 404
    assert "damaged" in damaged.json()["detail"]
    # One that is damaged after it was read through.
    store.add(make_artifact("v3", 3))
    assert start(one, "v3").status_code == 200
    record = store.get(KEYS.canary)
    one.post("/v1/models:stop-canary")
    store.set(KEYS.canary, record.replace(b"v3", b"v2"))
    until(lambda: "the canary is not served: model version v2 is damaged" in one.warnings())
    assert {one.recommend(user)["model_version"] for user in users} == {"v1"}
    assert one.metric('magnet_model_loads_total{reason="damaged",result="failure"}') >= 1
    one.post("/v1/models:stop-canary")
    until(lambda: one.warnings() == "")
