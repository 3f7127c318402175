import os

import pytest

from deploy.benchmarks.parts import scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load
from deploy.benchmarks.serving.rig import PATH, own_mb, processor_seconds, proportional_mb, rig
from deploy.local.servers import get_json


@pytest.mark.parametrize(("text", "expected"), [("1", 20), ("0.5", 10), ("0.001", 2)])
def test_lengths_are_scaled(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", text)
    assert scaled(20, 2) == expected


@pytest.mark.parametrize("text", ["0", "2", "all"])
def test_an_unusable_scale_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SCALE", text)
    with pytest.raises(ValueError, match="BENCH_SCALE"):
        scaled(20, 2)


def test_what_a_process_uses_is_found() -> None:
    assert 20 < own_mb(os.getpid()) < proportional_mb(os.getpid()) < 20_000
    assert processor_seconds(os.getpid()) > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_is_served_through_a_crash_of_its_server() -> None:
    with rig() as held:
        held.publish(held.save(grown_artifact(300, 20, 0)))
        replica = held.start()
        done = load(replica.url, PATH, seconds=1, users=20, compare=True)
        assert done.requests > 0
        assert (done.errors, done.torn, done.degraded) == (0, 0, 0)
        held.kill_server()
        assert load(replica.url, PATH, seconds=1, users=20).errors == 0
        held.start_server()
        newer = held.save(grown_artifact(300, 20, 1))
        held.publish(newer)
        assert get_json(f"{replica.url}/v1/model")["model_version"] == newer.name
        folder = held.folder
    assert not folder.exists()
