"""Whoever is erased is unknown at once, everywhere, and their traces in Redis are gone."""

import itertools
import logging

import numpy as np
import polars as pl
import redis

from deploy.cli.app import main
from model.artifact.stored import layout_of
from model.registry.erasures import Erasure, hashed
from model.registry.keys import KeySpace
from tests.files import files_with
from training.publish.erasures import rewrite_versions
from training.publish.lock import PublishLock

KEYS = KeySpace()
_number = itertools.count()


def report(client, user_id: str, *item_ids: str) -> None:
    events = [
        {
            "event_id": f"{user_id}-{next(_number)}",
            "user_id": user_id,
            "item_id": item_id,
            "type": "click",
            "timestamp": "2026-01-01T12:00:00Z",
        }
        for item_id in item_ids
    ]
    answer = client.post("/v1/feedback", json={"events": events})
    assert answer.status_code == 200, answer.text


def erase(client, user_id: str) -> str:
    answer = client.delete(f"/v1/users/{user_id}")
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["erasure_id"]
    return found


def contents(url: str) -> dict[bytes, bytes]:
    """Everything that a server holds, by key, as text or raw bytes."""
    found = {}
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            read = {
                b"string": lambda key: [client.get(key)],
                b"hash": lambda key: [x for pair in client.hgetall(key).items() for x in pair],
                b"set": client.smembers,
                b"zset": lambda key: client.zrange(key, 0, -1),
                b"stream": lambda key: [
                    x for _, entry in client.xrange(key) for pair in entry.items() for x in pair
                ],
            }[kind]
            found[key] = b"\n".join(read(key))
    return found


def keys_with(url: str, user_id: str) -> set[bytes]:
    """Keys whose name or value holds an id."""
    raw = user_id.encode()
    return {key for key, value in contents(url).items() if raw in key or raw in value}


def test_an_erased_user_is_unknown_to_every_replica_at_once(replicas) -> None:
    one, other = replicas
    report(one, "u004", "i003", "i040")
    for each in replicas:  # both have the user in memory now
        assert each.recommend("u004")["fallback"] is None
    erase(one, "u004")
    for each in replicas:
        answer = each.recommend("u004")
        assert (answer["fallback"], answer["live_events"]) == ("popular", 0)
        assert answer["warnings"] == ["user 'u004' is not known", "these are popular items"]
        assert "u004" not in each.get("/v1/users?prefix=u00").json()["user_ids"]
    assert other.recommend("u005")["fallback"] is None


def test_nothing_of_an_erased_user_stays_in_redis_but_the_id_in_tables(
    replicas, redis_url, artifact
) -> None:
    one, _ = replicas
    manifest, version = artifact.manifest, artifact.manifest.model_version
    report(one, "u004", "i003", "i040")
    report(one, "u0044", "i003")
    erasure_id = erase(one, "u004")
    assert b"u0044" in contents(redis_url)[KEYS.feedback.encode()]
    table = KEYS.chunk(version, "user_ids_blob", 0).encode()
    longer = {key for key in keys_with(redis_url, "u004") if b"u0044" in key}
    of_other = {KEYS.feedback.encode(), KEYS.feedback_ids.encode(), *longer}
    assert keys_with(redis_url, "u004") - of_other == {table, KEYS.erasures.encode()}
    with redis.Redis.from_url(redis_url) as client:
        for blob in ("user_embeddings", "seen_items"):
            data = client.get(KEYS.chunk(version, blob, 0))
            assert data is not None
            stored = np.frombuffer(data, manifest.tensors[blob].dtype)
            expected = np.array(artifact.tensors[blob])
            first, stop = 4, 5
            if blob == "seen_items":
                first, stop = artifact.tensors["seen_offsets"][4:6]
            assert expected[first:stop].any()
            expected[first:stop] = 0
            rows = layout_of(manifest, blob).rows_per_chunk
            assert (stored == expected[:rows].reshape(-1)).all()
        record = Erasure.parse(client.hget(KEYS.erasures, erasure_id))
        key = client.get(KEYS.user_hash_key)
    assert record is not None
    assert record.user_hash == hashed("u004", key)
    assert record.waiting == ("redis", "log", "data", "artifacts")


def test_who_comes_back_is_a_new_user(replicas) -> None:
    one, other = replicas
    assert one.recommend("u004")["fallback"] is None
    erase(other, "u004")
    report(other, "u004", "i003", "i040", "i061")
    answer = one.recommend("u004")
    assert (answer["fallback"], answer["live_events"]) == (None, 3)
    assert {item["source"] for item in answer["items"]} == {"live"}
    session = other.post(
        "/v1/recommendations", json={"session_items": ["i003", "i040", "i061"], "k": 10}
    ).json()
    assert [x["item_id"] for x in answer["items"]] == [x["item_id"] for x in session["items"]]


def test_a_repeated_erasure_is_one_and_takes_what_came_meanwhile(replicas, redis_url) -> None:
    one, _ = replicas
    first = erase(one, "visitor")
    report(one, "visitor", "i003")
    assert one.recommend("visitor")["live_events"] == 1
    assert erase(one, "visitor") == first
    assert one.recommend("visitor")["fallback"] == "popular"
    assert keys_with(redis_url, "visitor") == {KEYS.erasures.encode()}


def test_a_replica_that_starts_later_serves_the_version_without_the_user(
    replicas, artifact, serving, following, until
) -> None:
    one, _ = replicas
    golden = f"u{artifact.manifest.golden.user_rows[0]:03d}"
    erase(one, golden)
    with serving(following()) as later:
        until(later.ready)
        assert later.recommend(golden)["fallback"] == "popular"
        assert later.warnings() == ""


def test_the_doctor_finds_nothing_wrong_with_overwritten_rows(replicas, redis_url, capsys) -> None:
    one, _ = replicas
    erase(one, "u004")
    main(["doctor", "--url", str(one.base_url), "--redis-url", redis_url])
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "live version" in x]
    assert line.startswith("ok"), line


def test_without_redis_nothing_is_erased(
    redis_url, valkey_server, artifact, publish, serving, following, until, proxy
) -> None:
    publish(redis_url, artifact)
    line = proxy(valkey_server.port)
    with serving(following(line.url)) as client:
        until(client.ready)
        before = contents(redis_url)
        line.cut()
        answer = client.delete("/v1/users/u004")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert contents(redis_url) == before
        line.mend()
        until(lambda: client.delete("/v1/users/u004").status_code == 202)
        assert client.recommend("u004")["fallback"] == "popular"


def test_a_folder_offers_no_erasure(disk_client) -> None:
    assert disk_client.delete("/v1/users/u004").status_code == 501


def test_logs_name_users_by_hash(replicas, redis_url, caplog, until) -> None:
    one, other = replicas
    with redis.Redis.from_url(redis_url) as client:
        until(lambda: client.exists(KEYS.user_hash_key) == 1)
        mark = hashed("u004", client.get(KEYS.user_hash_key))
    with caplog.at_level(logging.INFO):
        until(lambda: other.recommend("u004") and mark in caplog.text)
        caplog.clear()
        one.recommend("u004")
        report(one, "u004", "i003")
        one.get("/v1/users/u004/nothing")
        one.post("/v1/explain", json={"user_id": "u004", "item_id": "i003"})
        one.get("/v1/users/u004/recommendations?k=0")
        erase(one, "u004")
    # Others are lines of this test's client, and some that a service in its own process turns off.
    lines = [x.getMessage() for x in caplog.records if x.name.startswith("service")]
    assert "u004" not in "".join(lines)
    assert f"DELETE /v1/users/{mark} 202" in lines
    assert f"GET /v1/users/{mark}/recommendations 200" in lines


def test_caches_follow_when_training_has_taken_a_user_out(
    redis_url, valkey_server, make_artifact, publish, serving, following, until, tmp_path, proxy
) -> None:
    """The copies of what is served, and of what was served before."""
    line = proxy(valkey_server.port)
    kept = following(line.url, cache_dir=tmp_path)
    with serving(kept) as client, redis.Redis.from_url(redis_url) as server:
        for number in (1, 2):
            publish(redis_url, make_artifact(f"v{number}", number))
            server.zadd(KEYS.versions, {f"v{number}": number})
            until(client.ready)
            until(lambda n=number: client.recommend("u005")["model_version"] == f"v{n}")
        asked = client.recommend("u005")["items"]
        until(lambda: (tmp_path / "default" / "v2" / "trial_users.npz").is_file())
        assert {path.parent.name for path in files_with(tmp_path, "u004")} == {"v1", "v2"}
        erase(client, "u004")
        with PublishLock(server, KEYS, lock_seconds=30) as lock:
            assert rewrite_versions(server, KEYS, ["u004"], 1, lock) == ["v1", "v2"]
        until(lambda: files_with(tmp_path, "u004") == [])
        assert keys_with(redis_url, "u004") == {KEYS.erasures.encode()}
        until(lambda: client.get("/v1/model").json()["num_users"] == 30)
        assert client.recommend("u005")["items"] == asked
        assert client.recommend("u004")["fallback"] == "popular"
        assert client.warnings() == ""
        until(lambda: (tmp_path / "default" / "v2" / "trial_users.npz").is_file())
    line.cut()
    with serving(kept) as restarted:
        until(restarted.ready)
        assert restarted.recommend("u004")["fallback"] == "popular"


def test_lists_for_all_leave_out_who_is_erased(replicas, redis_url, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    erase(replicas[0], "u004")
    for step in ("before the id is rewritten", "after"):
        out = tmp_path / f"{step}.parquet"
        assert main(["recommend", "--all", "-k", "2", "--out", str(out)]) == 0
        users = set(pl.read_parquet(out)["user_id"])
        assert "u003" in users
        assert not users & {"u004", ""}, step
        with (
            redis.Redis.from_url(redis_url) as server,
            PublishLock(server, KEYS, lock_seconds=30) as lock,
        ):
            rewrite_versions(server, KEYS, ["u004"], 1, lock)
