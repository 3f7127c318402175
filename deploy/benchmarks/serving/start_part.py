"""Part `start`: from the start of a process to its first ready answer, and what that is made of."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import httpx2
import psutil

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.grown_items import new_items, with_item_encoder
from deploy.benchmarks.serving.half_part import in_half
from deploy.benchmarks.serving.rig import (
    PATH,
    Replica,
    Rig,
    own_mb,
    processor_seconds,
    proportional_mb,
    rig,
)
from deploy.local.servers import get_json
from model.artifact.files import Artifact
from training.export.artifact import HALVED_FROM

SIZES = (7_000, 200_000, 1_000_000)
PUT = 100_000
_LINES_AT_ONCE = 5_000
_USERS, SEED = 1_000, 0
_ASKED = _USERS
_FORETOLD = 10_000_000
_FINISHING_SECONDS = 10
"""For what a first start leaves to be done beside requests."""
_ROUNDS = 5
_BYTES_OF_AN_ITEM = 10_000
"""Peak memory per item: model under construction, Redis and service together."""
_PATIENCE_SECONDS = 60
_IMPORTS = ("service.app", "fastapi")
_PROTOCOL = f"""### Start

`make bench BENCH=start`: from the start of a service's process until `/readyz` answers 200 (grown
models, seed {SEED}; Redis and the caller beside it), and the processor time that the process has
used by then. *First* fills `MAGNET_CACHE_DIR` from Redis; *again* is the median of {_ROUNDS} starts
that find it full. With {PUT:,} items put: they have titles and descriptions, and their rows are
made by the model's encoder at the first start. Vectors of more than {HALVED_FROM:,} items are in 16
bits, as `magnet fit` writes them. Memory is that of the last start after the lists of {_ASKED:,}
users: *own* is what the process has for itself, *mapped* what is in memory of the files that it
reads, which the system takes back where it needs the room, and which all workers share. The last
column is the processor time of an explained top 20. *By a line*: through the two largest sizes.
Imports are the medians of {_ROUNDS} processes that do nothing else. A catalogue that needs more
memory than is free is left out."""


@dataclass(frozen=True, slots=True)
class _Measured:
    first_s: float
    first_processor_s: float
    again_s: float
    again_processor_s: float
    own_mb: float
    mapped_mb: float
    list_processor_ms: float

    def row(self, what: str) -> dict[str, str]:
        """Of the table."""
        return {
            "what": what,
            "first, s": f"{self.first_s:.1f}",
            "processor": f"{self.first_processor_s:.1f}",
            "again, s": f"{self.again_s:.1f}",
            "processor again": f"{self.again_processor_s:.1f}",
            "own, MB": f"{self.own_mb:,.0f}",
            "mapped, MB": f"{self.mapped_mb:,.0f}",
            "a list, ms": f"{self.list_processor_ms:.1f}",
        }

    def figures(self, name: str) -> dict[str, float]:
        """For `bench.json`."""
        return {f"start_{name}_{field}": round(x, 2) for field, x in asdict(self).items()}


def measure() -> Outcome:
    """Start services of several sizes, with and without what an earlier start has kept."""
    figures: dict[str, float] = {}
    rows = []
    by_size: dict[int, _Measured] = {}
    for items in SIZES:
        if _BYTES_OF_AN_ITEM * items > psutil.virtual_memory().available:
            sys.stderr.write(f"  {items:,} items: not enough memory, left out\n")
            continue
        sys.stderr.write(f"  {items:,} items ...\n")
        with rig() as held:
            held.publish(held.save(_artifact(scaled(items, 500))))
            by_size[items] = found = _starts(held)
            rows.append(found.row(f"{items:,} items"))
            figures |= found.figures(f"{items // 1000}k")
            if items == SIZES[0]:
                _put(held, scaled(PUT, 100))
                found = _starts(held)
                rows.append(found.row(f"the same, {PUT:,} put"))
                figures |= found.figures("put")
    if len(by_size) == len(SIZES):
        rows.append(_by_line(by_size, _FORETOLD))
    imports = {module: _import_seconds(module) for module in _IMPORTS}
    figures |= {f"start_import_{name.replace('.', '_')}_s": s for name, s in imports.items()}
    words = [f"`import {name}` takes {seconds:.2f} s" for name, seconds in imports.items()]
    return Outcome.of(
        figures, _PROTOCOL, rows, f"Of every start's processor time, {' and '.join(words)}."
    )


def _artifact(items: int) -> Artifact:
    artifact = grown_artifact(items, _USERS, SEED)
    return in_half(artifact) if items > HALVED_FROM else with_item_encoder(artifact, SEED)


def _starts(held: Rig) -> _Measured:
    cache = held.folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    seconds, processor = [], []
    for number in range(1 + _ROUNDS):
        started = time.perf_counter()
        replica = held.start({"MAGNET_CACHE_DIR": str(cache)})
        seconds.append(time.perf_counter() - started)
        processor.append(processor_seconds(replica.child.pid))
        if number == 0:
            time.sleep(_FINISHING_SECONDS)
        if number < _ROUNDS:
            held.stop(replica)
    pid = replica.child.pid
    _ask(replica)
    before = processor_seconds(pid)
    _ask(replica)
    taken = processor_seconds(pid) - before
    own, whole = own_mb(pid), proportional_mb(pid)
    held.stop(replica)
    return _Measured(
        first_s=seconds[0],
        first_processor_s=processor[0],
        again_s=statistics.median(seconds[1:]),
        again_processor_s=statistics.median(processor[1:]),
        own_mb=own,
        mapped_mb=whole - own,
        list_processor_ms=1e3 * taken / _ASKED,
    )


def _ask(replica: Replica) -> None:
    for user in range(_ASKED):
        get_json(replica.url + PATH.format(user))


def _by_line(by_size: Mapping[int, _Measured], size: int) -> dict[str, str]:
    """What the two largest sizes say of another one, of what grows with the items."""
    (x, low), (y, high) = sorted(by_size.items())[-2:]

    def grown(field: str) -> float:
        of_x, of_y = getattr(low, field), getattr(high, field)
        return float(of_y + (of_y - of_x) * (size - y) / (y - x))

    return dict.fromkeys(high.row(""), "") | {
        "what": f"{size:,} by a line",
        "processor": f"{grown('first_processor_s'):.0f}",
        "processor again": f"{grown('again_processor_s'):.0f}",
        "mapped, MB": f"{grown('mapped_mb'):,.0f}",
    }


def _put(held: Rig, number: int) -> None:
    """Put items with texts."""
    replica = held.start()
    lines = new_items(0, number, features=(), seed=SEED)
    with httpx2.Client(base_url=replica.url, trust_env=False, timeout=_PATIENCE_SECONDS) as client:
        for start in range(0, number, _LINES_AT_ONCE):
            body = b"\n".join(lines[start : start + _LINES_AT_ONCE])
            client.post("/v1/items:bulk", content=body).raise_for_status()
    held.stop(replica)


def _import_seconds(module: str) -> float:
    """Processor time of a process that imports a module."""
    taken = []
    for _ in range(_ROUNDS):
        before = _of_children()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        taken.append(_of_children() - before)
    return round(statistics.median(taken), 3)


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
