"""After an erasure and one retraining, no byte of a user's id is anywhere."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import read_artifact
from model.artifact.tables import IdTable
from model.registry.erasures import Erasure
from model.registry.keys import KeySpace
from service.ops.settings import Settings
from service.store.erasures import Erasures
from service.store.store import RedisStore
from tests.files import files_with
from training.feedback.log import EventLog
from training.publish.erasures import ErasureRecords
from training.retrain import erasure as on_disk
from training.retrain.job import retrain
from training.retrain.live_model import SavedWeights
from training.retrain.runs import Runs
from training.retrain.settings import RetrainConfig, read_config

KEYS = KeySpace()
ERASED = "u017"


def erase(redis_url: str, user_id: str) -> Erasure:
    """As the service does it."""

    async def run() -> Erasure:
        store = RedisStore(Settings(redis_url=redis_url))
        try:
            return await Erasures(store).erase(user_id)
        finally:
            await store.close()

    return asyncio.run(run())


def in_redis(client: redis.Redis, user_id: str) -> list[bytes]:
    """Keys whose name or value holds an id, by the server's own serialisation."""
    raw = user_id.encode()
    dumped = ((key, client.dump(key)) for key in client.scan_iter(count=1000))
    found = [key for key, value in dumped if raw in key or raw in value]
    # A dump may be compressed, so values are looked at as well.
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"string" and raw in (client.get(key) or b""):
            found.append(key)
        if kind == b"hash" and any(raw in x for x in client.hgetall(key).values()):
            found.append(key)
        if kind == b"zset" and any(raw in x for x in client.zrange(key, 0, -1)):
            found.append(key)
    return found


@pytest.fixture
def config(config_file: Path, tiny_data: Path, tmp_path: Path) -> RetrainConfig:
    """The retraining of a copy of the data, which is going to be changed."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    config_file.write_text(config_file.read_text().replace(str(tiny_data), str(data)))
    return read_config(config_file, {})


def test_after_one_retraining_no_byte_of_the_id_is_anywhere(
    config, config_file, state, client, click, redis_url, capsys
) -> None:
    click((ERASED, "i003"), (ERASED, "i004"), ("new", "i003"))
    assert retrain(config).result == "promoted"
    click((ERASED, "i005"), ("u018", "i007"))
    for folder in (state, config.data.folder):
        assert files_with(folder, ERASED)
    assert in_redis(client, ERASED)
    before = read_artifact(next(Runs(state).newest_first())[0].artifact)

    asked = erase(redis_url, ERASED)
    assert main(["users", "erased", "--redis-url", redis_url]) == 1
    assert ERASED not in (told := capsys.readouterr().out)
    assert (asked.user_hash in told, "waiting" in told) == (True, True)
    record = retrain(config)
    assert record.data["users erased"] == 1
    assert record.result == "promoted"
    assert main(["users", "erased", "--redis-url", redis_url]) == 0

    assert in_redis(client, ERASED) == []
    for folder in (state, config.data.folder):
        assert files_with(folder, ERASED) == []
    (done,) = ErasureRecords(client, KEYS).all()
    assert (done.user_id, done.waiting) == (None, ())
    (new, _), (old, _) = Runs(state).newest_first()
    # What was there before is whole but for the user, on disk and in Redis.
    after = read_artifact(old.artifact)
    table = IdTable(after.tensors["user_ids_blob"], after.tensors["user_ids_offsets"])
    next_row = table.row("u018")
    assert next_row is not None
    assert (table.row(ERASED), table[next_row - 1]) == (None, "")
    vectors, vectors_before = (x.tensors["user_embeddings"] for x in (after, before))
    assert not vectors[next_row - 1].any()
    assert (vectors[next_row:] == vectors_before[next_row:]).all()
    assert after.manifest.erasures == asked.number
    assert read_artifact(new.artifact).manifest.erasures == asked.number
    assert ERASED not in SavedWeights.load(old.weights).user_ids
    assert main(["publish", str(old.artifact), "--redis-url", redis_url]) == 0
    assert EventLog(state / "events").read()["user_id"].sort().to_list() == ["new", "u018"]


def test_an_erasure_that_was_killed_goes_on(
    config, state, client, click, redis_url, monkeypatch
) -> None:
    click((ERASED, "i003"))
    retrain(config)
    erase(redis_url, ERASED)
    write = on_disk.write_durably

    def killed_before_the_manifest(path: Path, fill) -> None:
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        write(path, fill)

    monkeypatch.setattr(on_disk, "write_durably", killed_before_the_manifest)
    with pytest.raises(KeyboardInterrupt):
        retrain(config)
    monkeypatch.undo()
    (waiting,) = ErasureRecords(client, KEYS).all()
    assert waiting.waiting == ("redis", "artifacts")
    assert waiting.user_id == ERASED
    retrain(config)
    assert files_with(state, ERASED) == []
    assert in_redis(client, ERASED) == []
    for folder, record in Runs(state).newest_first():
        if record.version is not None:
            read_artifact(folder.artifact)


def test_a_drain_takes_users_out_of_its_log(client, click, redis_url, tmp_path) -> None:
    click((ERASED, "i003"), ("u018", "i003"))
    log = tmp_path / "log"
    drain = ["events", "drain", "--log", str(log), "--redis-url", redis_url]
    assert main(drain) == 0
    assert files_with(log, ERASED)
    erase(redis_url, ERASED)
    click((ERASED, "i009"))
    assert main(drain) == 0
    events = EventLog(log).read()
    assert events.select("user_id", "item_id").rows() == [("u018", "i003"), (ERASED, "i009")]
    (record,) = ErasureRecords(client, KEYS).all()
    assert record.waiting == ("redis", "data", "artifacts")


def test_a_user_who_is_erased_again_meanwhile_waits_again(client, redis_url) -> None:
    first = erase(redis_url, ERASED)
    records = ErasureRecords(client, KEYS)
    again = erase(redis_url, ERASED)
    assert again.erasure_id == first.erasure_id
    assert again.number > first.number
    records.mark("log", [first])
    assert records.all() == [again]
    records.mark("log", [again])
    (marked,) = records.all()
    assert marked.waiting == ("redis", "data", "artifacts")
    assert marked.done["log"] <= datetime.now(UTC)


def test_who_was_capped_is_forgotten_too(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folder, record = runs.begin("default")
    record.capped_users = {"spammer": 280, "bot": 3}
    folder.write(record)
    on_disk.erase_from_runs(runs, {"spammer"}, 1)
    (_, after), *_ = runs.newest_first()
    assert after.capped_users == {"bot": 3}
    assert "spammer" not in folder.report.read_text()
    assert "bot" in folder.report.read_text()
