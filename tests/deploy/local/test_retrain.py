"""How `make retrain` finds what `make run` serves."""

import stat
from pathlib import Path

import pytest
from pydantic import BaseModel

from deploy.local import retrain
from deploy.local.workspace import NotRunning, Running, Workspace
from training.retrain.settings import read_config

PROJECT = Path(__file__).parents[3]


def test_nothing_is_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrain.main(["--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"magnet: nothing is running with {tmp_path}; start it first, in another terminal: "
        "magnet run\n"
    )


def test_what_runs_is_told_to_this_user_only(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    running = Running(redis_url="redis://:secret@host:1", namespace="shop", data="/data")
    with workspace.announced(running):
        assert workspace.running() == running
        assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600
    with pytest.raises(NotRunning):
        workspace.running()


def test_the_retraining_gets_what_the_launcher_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda _, command, env: became.append((command, env)))
    workspace = Workspace(tmp_path)
    running = Running(redis_url="redis://:secret@host:1", namespace="shop", data="/some/data")
    with workspace.announced(running):
        retrain.main(["--out", str(tmp_path), "--config", "own.toml", "--", "--dry-run"])
    ((command, env),) = became
    assert env["REDIS_URL"] == running.redis_url
    assert not any("secret" in word for word in command)
    assert command[-3:] == ["--namespace", "shop", "--dry-run"]
    assert command[command.index("--data") + 1] == "/some/data"
    assert command[command.index("--config") + 1] == "own.toml"
    state = Path(command[command.index("--state") + 1])
    assert state == workspace.model(Path("/some/data")).root / "retrain"


def test_a_retrained_version_is_known(tmp_path: Path) -> None:
    workspace, data = Workspace(tmp_path), Path("/some/data")
    assert not workspace.retrained(data, "v1")
    run = workspace.retrain(data) / "runs" / "one"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"version": "v1"}')
    assert workspace.retrained(data, "v1")
    assert not workspace.retrained(data, "v2")


def test_the_configuration_of_the_sample_can_be_read() -> None:
    assert read_config(PROJECT / "deploy" / "retrain.toml", {}).training.patience == 6


def test_every_setting_is_documented() -> None:
    text = (PROJECT / "docs" / "lifecycle.md").read_text()
    config = read_config(PROJECT / "deploy" / "retrain.toml", {})
    for name, value in config:
        inner = type(value).model_fields if isinstance(value, BaseModel) else {}
        names = [f"{name}.{field}" for field in inner] if name != "training" else ["training.*"]
        for each in names or [name]:
            assert f"`{each}`" in text, each
