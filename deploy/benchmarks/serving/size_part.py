"""Parts `memory` and `bytes`: a second worker's memory, and Redis's memory over the payload."""

import re
import socket

from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load
from deploy.benchmarks.serving.rig import PATH, Outcome, Part, proportional_mb, rig, scaled
from training.reporting.documents import table

_ITEMS, _USERS, SEED = 200_000, 1_000, 0
_MANY_USERS, _FEW_ITEMS = 2_000_000, 1_000


def _measure_memory() -> Outcome:
    items = scaled(_ITEMS, 2_000)
    with rig() as held:
        held.publish(held.save(grown_artifact(items, _USERS, SEED)))
        taken = []
        for workers in (1, 2):
            kept = {"MAGNET_CACHE_DIR": str(held.folder / "cache")}
            replica = held.start(kept, workers=workers)
            load(replica.url, PATH, seconds=5, users=_USERS)
            taken.append(proportional_mb(replica.child.pid))
            replica.child.stop()
    second = taken[1] - taken[0]
    row = (f"{items:,}", *(f"{mb:.0f}" for mb in taken), f"{second:.0f}")
    header = ("items", "one worker, MB", "two workers, MB", "the second, MB")
    return Outcome(
        figures={"second_worker_mb": round(second, 1)},
        text=f"{_MEMORY_PROTOCOL}\n\n{table(header, [row])}",
    )


_MEMORY_PROTOCOL = f"""### A second worker

`make bench BENCH=memory`: a service with one and with two workers (`uvicorn --workers`) and
`MAGNET_CACHE_DIR`, after five seconds of load; proportional memory: shared pages count once.
`BENCH_SCALE=1` is {_ITEMS:,} items."""


def _measure_bytes() -> Outcome:
    users = scaled(_MANY_USERS, 2_000)
    artifact = grown_artifact(_FEW_ITEMS, users, SEED)
    payload = sum(array.nbytes for array in artifact.tensors.values())
    payload += sum(map(len, artifact.files.values()))
    with rig() as held:
        before = _used_memory(held.server.url)
        held.publish(held.save(artifact))
        taken = _used_memory(held.server.url) - before
    row = (f"{users:,}", f"{payload / 1e6:,.1f}", f"{taken / 1e6:,.1f}", f"{taken / payload:.3f}")
    header = ("users", "payload, MB", "in the server, MB", "over payload")
    return Outcome(
        figures={"redis_bytes_over_payload": round(taken / payload, 4)},
        text=f"{_BYTES_PROTOCOL}\n\n{table(header, [row])}",
    )


_BYTES_PROTOCOL = f"""### Bytes in Redis

`make bench BENCH=bytes`: a grown model of three modalities and two views, published to an empty
server; by how much its `used_memory` grows. `BENCH_SCALE=1` is {_MANY_USERS:,} users."""


def _used_memory(url: str) -> int:
    """What the server says that its allocator has given out, in bytes."""
    host, _, port = url.rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"INFO memory\r\n")
        said = line.recv(65536).decode()
        while "used_memory_human" not in said:
            said += line.recv(65536).decode()
    found = re.search(r"used_memory:(\d+)", said)
    assert found is not None
    return int(found[1])


MEMORY = Part(
    name="memory",
    summary="memory of a second worker of one machine",
    measure=_measure_memory,
)
BYTES = Part(
    name="bytes",
    summary="memory of the server over the bytes that were published",
    measure=_measure_bytes,
)
