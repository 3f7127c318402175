"""Publishing to the master that sentinels name, and serving through a failover."""

import pytest
import redis

from training.publish import live_version


@pytest.mark.slow
@pytest.mark.parametrize("name", ["valkey", "redis"])
def test_a_failover_under_a_running_service(
    name, binary_of, start_server, free_port, tmp_path, make_artifact, publish_to, serving,
    following, until, disk_client,
) -> None:  # fmt: skip
    binary = binary_of(name)
    login = ("--requirepass", "secret", "--masterauth", "secret")
    master = start_server(binary, *login)
    replica = start_server(binary, *login, "--replicaof", "127.0.0.1", str(master.port))
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor films 127.0.0.1 {master.port} 1\n"
        "sentinel auth-pass films secret\n"
        "sentinel down-after-milliseconds films 300\n"
        "sentinel failover-timeout films 1000\n"
    )
    sentinel = start_server(binary, str(config), "--sentinel")
    url = f"redis+sentinel://:secret@127.0.0.1:{free_port},127.0.0.1:{sentinel.port}/films/0"
    with sentinel.client() as watcher:
        until(lambda: len(watcher.sentinel_slaves("films")) == 1)
        publish_to(url, make_artifact("v1", 1))
        with serving(following(url, user_cache_size=0)) as client:
            until(client.ready)
            with master.client(password="secret") as admin:
                admin.set("last", 1)
                assert admin.wait(1, 20_000) == 1
            master.kill()
            away = client.recommend("u001")
            assert len(away["items"]) == 10
            until(lambda: client.recommend("u001")["warnings"] == [])
            for user in ("u001", "u010", "u020"):
                assert client.recommend(user)["items"] == disk_client.recommend(user)["items"]

            publish_to(url, make_artifact("v2", 2))
            until(lambda: client.recommend("u001")["model_version"] == "v2")
    assert live_version(url) == "v2"
    assert replica.client(password="secret").get("mg:{default}:current") == b"v2"


def test_sentinels_that_know_no_such_master(
    binary_of, start_server, tmp_path, serving, following, until
) -> None:
    config = tmp_path / "sentinel.conf"
    config.write_text("requirepass eyes\n")
    sentinel = start_server(binary_of("valkey"), str(config), "--sentinel")
    url = f"redis+sentinel://:secret@127.0.0.1:{sentinel.port}/films?sentinel_password="
    with serving(following(url + "eyes")) as client:
        until(lambda: "No master found for 'films'" in client.get("/readyz").json()["detail"])
        assert "secret" not in client.get("/readyz").text
    with redis.Redis(port=sentinel.port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    with serving(following(url + "wrong")) as client:
        until(lambda: "Redis at films of" in client.get("/readyz").json()["detail"])
        assert "wrong" not in client.get("/readyz").text
