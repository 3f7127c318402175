"""What a publish leaves on a real server, when it works and when it is repeated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import Artifact, read_artifact
from model.registry.keys import KeySpace
from tests.waiting import PATIENCE_SECONDS
from training.publish import PublishError, PublishPolicy, live_version, publish_artifact

KEYS = KeySpace()
NO_GRACE = PublishPolicy(grace_seconds=0)


def test_what_is_published_is_what_is_read(
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
) -> None:
    folder = artifact_of("v1")
    assert live_version(redis_url) is None

    assert publish_artifact(folder, redis_url) == "v1"

    written, read = read_artifact(folder), read_version("v1")
    assert read.manifest == written.manifest
    assert read.files == written.files
    for name, array in written.tensors.items():
        np.testing.assert_array_equal(read.tensors[name], array)
    assert live_version(redis_url) == "v1"
    assert client.get(KEYS.previous) is None
    assert client.zrange(KEYS.versions, 0, -1) == [b"v1"]
    assert client.exists(KEYS.lock) == 0


def test_a_publish_is_announced_and_remembers_what_was_live(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)
    with client.pubsub(ignore_subscribe_messages=True) as events:
        events.subscribe(KEYS.events)
        events.get_message(timeout=PATIENCE_SECONDS)
        publish_artifact(artifact_of("v2", seed=1), redis_url)
        message = events.get_message(timeout=PATIENCE_SECONDS)
    assert message is not None
    assert message["data"] == b"v2"
    assert client.mget(KEYS.current, KEYS.previous) == [b"v2", b"v1"]


def test_namespaces_do_not_touch_each_other(
    artifact_of: Callable[..., Path],
    redis_url: str,
    read_version: Callable[..., Artifact],
) -> None:
    publish_artifact(artifact_of("v1"), redis_url, "left")
    publish_artifact(artifact_of("v2"), redis_url, "right", policy=NO_GRACE)
    assert live_version(redis_url, "left") == "v1"
    assert live_version(redis_url, "right") == "v2"
    assert read_version("v1", "left").manifest.model_version == "v1"


def test_another_shops_model_does_not_go_live_unasked(
    artifact_of: Callable[..., Path], redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)
    other = artifact_of("v2", shop="other-")
    assert main(["publish", str(other), "--redis-url", redis_url]) == 1
    assert (
        "v2 shares 0 of at most 5 items and 0 of at most 6 users with v1, which is live in "
        "namespace 'default': it seems to be another shop's. Nothing was changed."
    ) in capsys.readouterr().err
    assert live_version(redis_url) == "v1"
    assert main(["publish", str(other), "--redis-url", redis_url, "--namespace", "other"]) == 0
    assert main(["publish", str(other), "--redis-url", redis_url, "--force"]) == 0
    assert live_version(redis_url) == "v2"


def test_publishing_the_live_version_again_does_nothing_and_says_so(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    folder = artifact_of("v1")
    publish_artifact(folder, redis_url)
    before = client.info("commandstats")["cmdstat_set"]["calls"]
    said: list[str] = []

    assert publish_artifact(folder, redis_url, report=said.append) == "v1"

    assert client.info("commandstats")["cmdstat_set"]["calls"] == before
    host = redis_url.rpartition("@")[2]
    assert said == [f"v1 is already live in namespace 'default' at {host}: nothing to do"]


def test_a_superseded_version_comes_back_without_being_written_again(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    first = artifact_of("v1")
    publish_artifact(first, redis_url)
    publish_artifact(artifact_of("v2", seed=1), redis_url)
    said: list[str] = []

    publish_artifact(first, redis_url, report=said.append)

    assert client.mget(KEYS.current, KEYS.previous) == [b"v1", b"v2"]
    assert not any(line.startswith("publishing") for line in said)


def test_a_damaged_copy_of_the_live_version_is_repaired(
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    read_version: Callable[[str], Artifact],
) -> None:
    folder = artifact_of("v1")
    publish_artifact(folder, redis_url)
    client.delete(KEYS.chunk("v1", "item_embeddings", 1))

    publish_artifact(folder, redis_url)

    assert read_version("v1").manifest == read_artifact(folder).manifest
    assert client.get(KEYS.previous) is None


def test_a_version_never_changes(
    artifact_of: Callable[..., Path],
    redis_url: str,
    read_version: Callable[[str], Artifact],
) -> None:
    first = artifact_of("v1", seed=0)
    publish_artifact(first, redis_url)
    with pytest.raises(PublishError, match="v1 was published before with other content"):
        publish_artifact(artifact_of("v1", seed=1), redis_url)
    assert read_version("v1").files == read_artifact(first).files


def test_the_newest_stay_and_the_rest_go(
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    stored_versions: Callable[[], set[str]],
) -> None:
    for number in range(1, 6):
        publish_artifact(artifact_of(f"v{number}"), redis_url, policy=NO_GRACE)
    assert stored_versions() == {"v3", "v4", "v5"}
    assert set(client.zrange(KEYS.versions, 0, -1)) == {b"v3", b"v4", b"v5"}


def test_the_version_to_roll_back_to_stays_however_old(
    artifact_of: Callable[..., Path], redis_url: str, stored_versions: Callable[[], set[str]]
) -> None:
    only_newest = PublishPolicy(keep=1, grace_seconds=0)
    for number in range(1, 4):
        publish_artifact(artifact_of(f"v{number}"), redis_url, policy=only_newest)
    assert stored_versions() == {"v2", "v3"}


def test_a_superseded_version_stays_for_its_grace(
    artifact_of: Callable[..., Path], redis_url: str, stored_versions: Callable[[], set[str]]
) -> None:
    for number in range(1, 6):
        publish_artifact(artifact_of(f"v{number}"), redis_url)
    assert stored_versions() == {"v1", "v2", "v3", "v4", "v5"}


def test_early_models_push_no_finished_one_out(
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    stored_versions: Callable[[], set[str]],
) -> None:
    policy = PublishPolicy(keep=2, grace_seconds=0)
    for version in ("v1", "v2"):
        publish_artifact(artifact_of(version), redis_url, policy=policy)
    for number in range(1, 4):
        early = artifact_of(f"e{number}", early=True)
        publish_artifact(early, redis_url, policy=policy)
    assert client.mget(KEYS.current, KEYS.previous) == [b"e3", b"v2"]
    assert stored_versions() == {"v1", "v2", "e3"}
    publish_artifact(artifact_of("v3"), redis_url, policy=policy)
    assert client.mget(KEYS.current, KEYS.previous) == [b"v3", b"v2"]
    assert stored_versions() == {"v2", "v3"}


def test_an_early_model_gives_way_before_anything_is_written(
    artifact_of: Callable[..., Path], redis_url: str, stored_versions: Callable[[], set[str]]
) -> None:
    policy = PublishPolicy(gives_way=True)
    assert publish_artifact(artifact_of("e1", early=True), redis_url, policy=policy) == "e1"
    assert publish_artifact(artifact_of("e2", early=True), redis_url, policy=policy) == "e2"
    publish_artifact(artifact_of("v1"), redis_url)
    with pytest.raises(PublishError, match="v1 is live, and its training was finished"):
        publish_artifact(artifact_of("e3", early=True), redis_url, policy=policy)
    assert live_version(redis_url) == "v1"
    assert "e3" not in stored_versions()
