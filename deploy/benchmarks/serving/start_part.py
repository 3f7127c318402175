"""Part `start`: from the start of a process to its first ready answer, and what that is made of."""

import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import httpx2
import psutil

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.grown_items import new_items, with_item_encoder
from deploy.benchmarks.serving.half_part import in_half
from deploy.benchmarks.serving.rig import (
    PATH,
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
bits, as `magnet fit` writes them. Memory is that of the last start after {_ASKED:,} users' lists:
*own* is what the process has for itself, *mapped* what it has read of files, which the system takes
back where it needs the room, and which all workers share. Imports are the medians of {_ROUNDS}
processes that do nothing else. A catalogue that needs more memory than is free is left out."""


@dataclass(frozen=True, slots=True)
class _Start:
    seconds: float
    processor_seconds: float


@dataclass(frozen=True, slots=True)
class _Measured:
    first: _Start
    """It finds nothing kept."""
    again: list[_Start]
    own_mb: float
    mapped_mb: float


def measure() -> Outcome:
    """Start services of several sizes, with and without what an earlier start has kept."""
    figures: dict[str, float] = {}
    rows = []
    for items in SIZES:
        if _BYTES_OF_AN_ITEM * items > psutil.virtual_memory().available:
            sys.stderr.write(f"  {items:,} items: not enough memory, left out\n")
            continue
        sys.stderr.write(f"  {items:,} items ...\n")
        with rig() as held:
            held.publish(held.save(_artifact(scaled(items, 500))))
            rows.append(_row(f"{items:,} items", f"{items // 1000}k", _starts(held), figures))
            if items == SIZES[0]:
                _put(held, scaled(PUT, 100))
                name = f"the same, {PUT:,} put"
                rows.append(_row(name, "put", _starts(held), figures))
    imports = {module: _import_seconds(module) for module in _IMPORTS}
    figures |= {f"start_import_{name.replace('.', '_')}_s": s for name, s in imports.items()}
    words = [f"`import {name}` takes {seconds:.2f} s" for name, seconds in imports.items()]
    return Outcome.of(figures, _PROTOCOL, rows, f"Of every start, {' and '.join(words)}.")


def _artifact(items: int) -> Artifact:
    artifact = with_item_encoder(grown_artifact(items, _USERS, SEED), SEED)
    return in_half(artifact) if items > HALVED_FROM else artifact


def _starts(held: Rig) -> _Measured:
    cache = held.folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    found = []
    for number in range(1 + _ROUNDS):
        started = time.perf_counter()
        replica = held.start({"MAGNET_CACHE_DIR": str(cache)})
        seconds = time.perf_counter() - started
        found.append(_Start(seconds, processor_seconds(replica.child.pid)))
        if number < _ROUNDS:
            held.stop(replica)
    for user in range(_ASKED):
        get_json(replica.url + PATH.format(user))
    own, whole = own_mb(replica.child.pid), proportional_mb(replica.child.pid)
    held.stop(replica)
    return _Measured(found[0], found[1:], own, whole - own)


def _row(what: str, name: str, measured: _Measured, figures: dict[str, float]) -> dict[str, str]:
    first, again = measured.first, measured.again
    seconds = statistics.median(each.seconds for each in again)
    processor = statistics.median(each.processor_seconds for each in again)
    figures[f"start_{name}_first_s"] = round(first.seconds, 2)
    figures[f"start_{name}_again_s"] = round(seconds, 2)
    figures[f"start_{name}_again_processor_s"] = round(processor, 2)
    figures[f"start_{name}_own_mb"] = round(measured.own_mb)
    figures[f"start_{name}_mapped_mb"] = round(measured.mapped_mb)
    return {
        "what": what,
        "first, s": f"{first.seconds:.1f}",
        "processor": f"{first.processor_seconds:.1f}",
        "again, s": f"{seconds:.1f}",
        "processor again": f"{processor:.1f}",
        "own, MB": f"{measured.own_mb:,.0f}",
        "mapped, MB": f"{measured.mapped_mb:,.0f}",
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
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken), 3)
