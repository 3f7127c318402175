"""Parts `memory` and `bytes`: a second worker's memory, and Redis's memory over the payload."""

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load
from deploy.benchmarks.serving.rig import PATH, Rig, proportional_mb, rig
from training.publish.connection import connected

_ITEMS, _USERS, SEED = 200_000, 1_000, 0
_MANY_USERS, _FEW_ITEMS = 2_000_000, 1_000
_MEMORY_PROTOCOL = f"""### A second worker

`make bench BENCH=memory`: a service with one and with two workers (`uvicorn --workers`) and
`MAGNET_CACHE_DIR`, after five seconds of load; proportional memory: shared pages count once.
`BENCH_SCALE=1` is {_ITEMS:,} items."""
_BYTES_PROTOCOL = f"""### Bytes in Redis

`make bench BENCH=bytes`: a grown model of three modalities and two views, published to an empty
server; by how much its `used_memory` grows. `BENCH_SCALE=1` is {_MANY_USERS:,} users."""


def measure_memory() -> Outcome:
    """Compare the memory of one worker with that of two."""
    items = scaled(_ITEMS, 2_000)
    with rig() as held:
        held.publish(held.save(grown_artifact(items, _USERS, SEED)))
        one, two = (_memory_of(held, workers) for workers in (1, 2))
    return Outcome.of(
        {"second_worker_mb": round(two - one, 1)},
        _MEMORY_PROTOCOL,
        [
            {
                "items": f"{items:,}",
                "one worker, MB": f"{one:.0f}",
                "two workers, MB": f"{two:.0f}",
                "the second, MB": f"{two - one:.0f}",
            }
        ],
    )


def _memory_of(held: Rig, workers: int) -> float:
    """Memory of a service with that many workers, in MB."""
    replica = held.start({"MAGNET_CACHE_DIR": str(held.folder / "cache")}, workers=workers)
    load(replica.url, PATH, seconds=5, users=_USERS)
    taken = proportional_mb(replica.child.pid)
    replica.child.stop()
    return taken


def measure_bytes() -> Outcome:
    """Compare the memory that a model takes in Redis with its bytes."""
    users = scaled(_MANY_USERS, 2_000)
    artifact = grown_artifact(_FEW_ITEMS, users, SEED)
    payload = sum(array.nbytes for array in artifact.tensors.values())
    payload += sum(map(len, artifact.files.values()))
    with rig() as held, connected(held.server.url) as client:
        before = client.info("memory")["used_memory"]
        held.publish(held.save(artifact))
        taken = client.info("memory")["used_memory"] - before
    return Outcome.of(
        {"redis_bytes_over_payload": round(taken / payload, 4)},
        _BYTES_PROTOCOL,
        [
            {
                "users": f"{users:,}",
                "payload, MB": f"{payload / 1e6:,.1f}",
                "in the server, MB": f"{taken / 1e6:,.1f}",
                "over payload": f"{taken / payload:.3f}",
            }
        ],
    )
