"""Publishing to a cluster and serving from it, while slots and masters move."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from redis.crc import key_slot

from model.registry.address import RedisAddress
from model.registry.keys import KeySpace
from service.store.connection import close, connect
from training.publish import live_version
from training.publish.connection import PublishError

KEYS = KeySpace()
USERS = [f"u{row:03d}" for row in range(28)]


@pytest.fixture(params=["valkey", "redis"])
def cluster(request, binary_of, cluster_of):
    return cluster_of(binary_of(request.param))


def chunk_slots(artifact) -> set[int]:
    blob, manifest = "user_embeddings", artifact.manifest
    size = manifest.tensors[blob]
    rows_per_chunk = manifest.chunk_bytes // (4 * size.shape[1] * size.shape[2] * size.shape[3])
    chunks = -(-size.shape[0] // rows_per_chunk)
    names = [KEYS.chunk(manifest.model_version, blob, index) for index in range(chunks)]
    return {key_slot(name.encode()) for name in names}


def test_published_to_and_served_from_a_cluster_while_slots_move(
    cluster, make_artifact, publish_to, serving, following, until, disk_client
) -> None:
    first, second = make_artifact("v1", 1), make_artifact("v2", 2)
    assert publish_to(cluster.url, first) == "v1"
    assert publish_to(cluster.url, first) == "v1"
    sizes = [server.client().dbsize() for server in cluster.masters]
    assert min(sizes) > 0, "the chunks are not spread"

    with (
        serving(following(cluster.url, user_cache_size=0)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        until(client.ready)
        expected = {user: disk_client.recommend(user)["items"] for user in USERS}
        stop = Event()

        def watch() -> list[str]:
            wrong = []
            while not stop.is_set():
                for user in USERS:
                    answer = client.recommend(user)
                    if answer["items"] != expected[user] or answer["warnings"]:
                        wrong.append(f"{user}: {answer['warnings']}")
            return wrong

        watching = pool.submit(watch)
        try:
            for slot in chunk_slots(first):
                here = cluster.owner(slot)
                cluster.migrate(slot, next(x for x in cluster.masters if x is not here))
        finally:
            stop.set()
        assert watching.result() == []

        best = expected["u001"][0]["item_id"]
        hidden = client.put(f"/v1/items/{best}/availability", json={"available": False})
        assert hidden.status_code == 200, hidden.text
        answer = client.recommend("u001")
        assert answer["warnings"] == []
        assert best not in {item["item_id"] for item in answer["items"]}

        publish_to(cluster.url, second)
        assert live_version(cluster.url) == "v2"
        until(lambda: client.recommend("u001")["model_version"] == "v2")
        clicked = {"event_id": "a", "user_id": "u001", "item_id": "i001", "type": "click"}
        clicked["timestamp"] = "2026-01-01T12:00:00Z"
        taken = client.post("/v1/feedback", json={"events": [clicked, clicked]})
        assert taken.json()["accepted"] == 1, taken.text
        assert client.post("/v1/models/v1:activate", json={"pin": True}).status_code == 200
        until(lambda: client.recommend("u001")["model_version"] == "v1")
        assert publish_to(cluster.url, second) == "v2"
        assert live_version(cluster.url) == "v1"


@pytest.mark.parametrize(("connections", "has_slots"), [(2, True), (3, True), (1, False)])
def test_keys_of_a_slot_that_is_moving_are_found(cluster, connections, has_slots) -> None:
    slot = key_slot(b"{a}")
    source = cluster.owner(slot)
    source.client().mset({"{a}1": "one", "{a}2": "two"})
    target = next(x for x in cluster.masters if x is not source)
    busy = next(
        key for key in map(str, range(1000)) if cluster.owner(key_slot(key.encode())) is target
    )
    if not has_slots:
        target = cluster.add_empty_master()

    async def read() -> list[bytes | None]:
        address = RedisAddress.of(cluster.url)
        client = connect(address, timeout_seconds=30, connect_timeout_seconds=30)
        try:
            # As many connections to the target as are busy at once.
            await asyncio.gather(*(client.get(busy) for _ in range(connections)))
            cluster.begin_to_migrate(slot, target)
            pipe = client.pipeline(transaction=False)
            for key in ("{a}1", "{a}2", "{a}3"):
                pipe.get(key)
            return [*await pipe.execute(), await client.get("{a}1")]
        finally:
            await close(client)

    assert asyncio.run(read()) == [b"one", b"two", None, b"one"]


def test_a_burst_waits_for_connections(
    cluster, artifact, publish_to, serving, following, until
) -> None:
    publish_to(cluster.url, artifact)
    settings = following(cluster.url, user_cache_size=0)
    with serving(settings) as client, ThreadPoolExecutor(100) as pool:
        until(client.ready)
        paths = [f"/v1/users/{USERS[turn % 28]}/recommendations" for turn in range(300)]
        answers = list(pool.map(lambda path: client.get(path).json(), paths))
    assert {answer["fallback"] for answer in answers} == {None}


@pytest.mark.slow
def test_a_master_dies_and_its_replica_takes_over(
    binary_of, cluster_of, artifact, publish_to, serving, following, until, disk_client
) -> None:
    cluster = cluster_of(binary_of("valkey"), replicas=1, node_timeout_ms=2000)
    publish_to(cluster.url, artifact)
    until(lambda: all(cluster.is_replicated(master) for master in cluster.masters))
    with serving(following(cluster.url, user_cache_size=0)) as client:
        until(client.ready)
        victim = cluster.owner(next(iter(chunk_slots(artifact))))
        victim.kill()
        answers = [client.recommend(user) for user in USERS]
        assert all(len(answer["items"]) == 10 for answer in answers)
        until(lambda: not any(client.recommend(user)["warnings"] for user in USERS))
        for user in USERS:
            assert client.recommend(user)["items"] == disk_client.recommend(user)["items"]


def test_nobody_of_the_cluster_answers(cluster, artifact, publish_to, serving, following, until):
    for server in cluster.servers:
        server.kill()
    with pytest.raises(PublishError, match="does not answer"):
        publish_to(cluster.url, artifact)
    with serving(following(cluster.url)) as client:
        until(lambda: "is not reachable" in client.get("/readyz").json()["detail"])
