"""`magnet serve`, `status` and `doctor` with a real service and a real Redis."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from urllib.request import ProxyHandler, build_opener

import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import Artifact, read_artifact, write_artifact
from model.registry.keys import KeySpace
from model.registry.records import RetrainingSummary
from tests.waiting import PATIENCE_SECONDS, until
from training.publish import publish_artifact

PROJECT = Path(__file__).parents[3]
AWAY = "http://127.0.0.1:9"
KEYS = KeySpace()


@pytest.fixture
def version(artifact_dir: Path, redis_url: str) -> str:
    """What is live in Redis."""
    publish_artifact(artifact_dir, redis_url, "default")
    return read_artifact(artifact_dir).manifest.model_version


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is said, by the name that a line begins with."""
    said = capsys.readouterr().out.splitlines()
    return {line[:12].strip(): line[12:] for line in said}


def test_status_of_all(
    url: str, redis_url: str, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--url", url, "--redis-url", redis_url]) == 0
    told = lines(capsys)
    assert told["service"] == f"{url}: ready, serves {version}"
    assert told["Redis"] == "answers, namespace default"
    assert told["live"] == f"{version}, published 0 min ago"
    assert (told["previous"], told["pinned"], told["canary"]) == ("none", "none", "none")
    assert told["retraining"] == "none yet"


def test_status_as_json_names_what_is_pinned(
    url: str, redis_url: str, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pin", "--redis-url", redis_url]) == 0
    capsys.readouterr()
    assert main(["status", "--json", "--url", url, "--redis-url", redis_url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pinned"] == found["live"]["version"] == found["served"] == version


def test_status_when_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", AWAY, "--redis-url", "redis://:secret@127.0.0.1:1"]) == 1
    said = capsys.readouterr().out
    assert f"{AWAY}: not ready (no answer: " in said
    assert "127.0.0.1:1 does not answer" in said
    assert "secret" not in said


def test_a_service_without_redis_cannot_tell_of_versions(
    url: str, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--url", url]) == 0
    told = lines(capsys)
    assert set(told) == {"service", "versions"}
    assert told["versions"].startswith("not known: name Redis")


def test_another_program_at_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        Thread(target=answer_nonsense, args=[other], daemon=True).start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        assert main(["status", "--url", url]) == 1
    assert lines(capsys)["service"].startswith(f"{url}: not ready (no answer: ")


def answer_nonsense(
    server: socket.socket, answer: bytes = b"HTTP/1.0 200 OK\r\n\r\n[1, 2]"
) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(answer)


def checks(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """What `doctor` says, by the name of the check: its verdict and what was found."""
    said = capsys.readouterr().out.splitlines()
    return {line[7:21].strip(): (line[:7].strip(), line[21:]) for line in said}


@pytest.mark.shows_a_secret
def test_all_is_well(
    url: str, redis_url: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.txt"
    assert main(["keys", "new", "--name", "a", "--scope", "read", "--file", str(keys)]) == 0
    run = RetrainingSummary(run_id="r1", started_at=datetime.now(UTC), result="promoted")
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.runs, run.model_dump_json())
    capsys.readouterr()
    words = ["--url", url, "--redis-url", redis_url]
    assert main(["doctor", *words, "--keys-file", str(keys), "--state", str(tmp_path)]) == 0
    found = checks(capsys)
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert f"{version} is whole, " in found["live version"][1]
    assert found["retraining"][1] == "promoted, begun 0 min ago"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o600])
def test_secrets_that_everybody_may_read_are_named(
    tmp_path: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, private = tmp_path / "keys.txt", tmp_path / "client.key"
    for path in (keys, private):
        path.write_text("")
        path.chmod(mode)
    redis_url = f"rediss://127.0.0.1:1?ssl_keyfile={private}"
    words = ["--url", AWAY, "--redis-url", redis_url, "--keys-file", str(keys)]
    assert main(["doctor", *words]) == 1
    found = checks(capsys)
    for name, path in (("keys file", keys), ("private key", private)):
        assert found[name][0] == ("WRONG" if mode == 0o604 else "ok"), found[name]
        assert (f"chmod o-r {path}" in found[name][1]) == (mode == 0o604)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_throws_data_away_is_named(
    redis_url: str,
    artifact: Artifact,
    tmp_path: Path,
    policy: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_artifact(tmp_path, artifact)
    said = f"Redis has maxmemory-policy {policy}: "
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", policy)
        try:
            with caplog.at_level("INFO", "training"):
                assert main(["publish", str(tmp_path), "--redis-url", redis_url]) == 0
            assert said in caplog.text
            assert main(["doctor", "--url", AWAY, "--redis-url", redis_url]) == 1
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    verdict, found = checks(capsys)["eviction"]
    assert verdict == "WRONG"
    assert found.startswith(said)
    assert found.endswith("set it to noeviction")


def test_what_is_not_named_is_not_checked(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--url", url]) == 0
    found = checks(capsys)
    assert found["service"][0] == "ok"
    assert {verdict for name, (verdict, _) in found.items() if name != "service"} == {"-"}


def test_everything_is_wrong(
    redis_url: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.txt"
    keys.touch()
    keys.chmod(0o666)
    ago = datetime.now(UTC) - timedelta(days=3)
    run = RetrainingSummary(run_id="r1", started_at=ago, result="promoted")
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.runs, run.model_dump_json())
        client.delete(next(client.scan_iter(f"mg:default:v:{version}:item_bias:*")))
    words = ["--url", AWAY, "--redis-url", redis_url, "--keys-file", str(keys)]
    assert main(["doctor", *words, "--state", str(tmp_path / "none")]) == 1
    found = checks(capsys)
    assert found["Redis"][0] == "ok"
    wrong = {name: text for name, (verdict, text) in found.items() if verdict == "WRONG"}
    assert "`magnet serve`" in wrong["service"]
    assert "'item_bias'" in wrong["live version"]
    assert "`magnet rollback`" in wrong["live version"]
    assert f"chmod go-w {keys}" in wrong["keys file"]
    assert f"chmod o-r {keys}" in wrong["keys file"]
    assert "No such file" in wrong["disk space"]
    assert "begun 3 days ago; see whether its schedule still runs" in wrong["retraining"]


def test_nothing_is_live(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--url", AWAY, "--redis-url", redis_url]) == 1
    assert "`magnet publish ARTIFACT`" in checks(capsys)["live version"][1]


@pytest.mark.slow
def test_serve_runs_the_service_until_it_is_told_to_stop(artifact_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "deploy.cli", "serve", "--port", port]
    process = subprocess.Popen(
        [*command, "--", "--no-access-log"],
        cwd=PROJECT,
        env=os.environ | {"MAGNET_ARTIFACT_DIR": str(artifact_dir)},
        stderr=subprocess.DEVNULL,
    )
    try:
        opener = build_opener(ProxyHandler({}))

        def ready() -> bool:
            assert process.poll() is None
            with suppress(OSError):
                return opener.open(f"http://127.0.0.1:{port}/readyz").status == 200
            return False

        until(ready)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def test_serve_lets_nobody_in_from_outside_without_keys() -> None:
    command = [sys.executable, "-m", "deploy.cli", "serve", "--host", "0.0.0.0", "--port"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        command.append(str(server.getsockname()[1]))
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "listening at 0.0.0.0 lets in whoever can reach it" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["deploy.cli", "serve"], ["uvicorn", "--factory", "service.app:create_app"]],
    ids=["magnet", "uvicorn"],
)
def test_workers_with_a_bad_setting_end_with_the_reason(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    done = subprocess.run(
        [sys.executable, "-m", *command, "--workers", "2", "--port", port],
        cwd=PROJECT,
        env=os.environ | {"MAGNET_POLL_SECONDS": "often"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert "magnet: bad setting: MAGNET_POLL_SECONDS: " in done.stderr
    assert done.returncode == 1 or command[0] == "uvicorn", "uvicorn then ends with 0"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_serve_says_in_one_line_where_it_cannot_listen(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["serve", "--host", host, "--port", str(port)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot listen at {host}, port {port} (")


@pytest.mark.parametrize("command", ["status", "doctor"])
@pytest.mark.parametrize(
    "url", ["host", "", "http://[::1", "http://a:b", "file:///etc", "http://me:secret@127.0.0.1:9"]
)
def test_a_url_that_cannot_be_asked(
    command: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--url", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--url" in line
    assert "secret" not in line


def test_what_is_no_http_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        Thread(target=answer_nonsense, args=[other, b"SSH-2.0\r\n"], daemon=True).start()
        port = other.getsockname()[1]
        words = ["--url", f"http://127.0.0.1:{port}", "--redis-url", f"redis://127.0.0.1:{port}"]
        assert main(["status", *words]) == 1
    told = lines(capsys)
    assert "another program is there" in told["service"]
    assert "is another program" in told["Redis"]


def test_a_key_with_a_line_break_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAGNET_API_KEY", "secret\rhidden")
    for words in (["status"], ["doctor"], ["similar", "i1"]):
        assert main([*words, "--url", AWAY]) == 1
        told = capsys.readouterr()
        assert "line break" in told.out + told.err
        assert "secret" not in told.out + told.err
        assert "hidden" not in told.out + told.err


def test_a_service_that_waits_for_a_model_need_not_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = (503, {"detail": "no model has been published"})
    monkeypatch.setattr("deploy.cli.operate._ask", lambda *_: answer)
    assert main(["doctor"]) == 1
    verdict, text = checks(capsys)["service"]
    assert verdict == "WRONG"
    assert text.endswith("not ready (no model has been published)")


def test_every_command_takes_the_namespace_from_the_same_variable(
    version: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAGNET_NAMESPACE", "other")
    assert main(["status", "--json", "--url", AWAY, "--redis-url", redis_url]) == 1
    assert json.loads(capsys.readouterr().out)["live"] is None
    assert main(["models", "--json", "--redis-url", redis_url]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("command", ["status", "doctor", "models", "pin"])
def test_a_namespace_that_cannot_be(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--redis-url", "redis://127.0.0.1:9", "--namespace", "a b"]) == 2
    assert "'--namespace': the namespace 'a b' is not usable" in capsys.readouterr().err
