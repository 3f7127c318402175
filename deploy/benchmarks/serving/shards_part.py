"""Part `shards`: two processes with half of the items each, beside one with all of them."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load
from deploy.benchmarks.serving.rig import (
    PATH,
    Replica,
    Rig,
    processor_seconds,
    proportional_mb,
    rig,
)
from deploy.local.servers import HOST, free_port, get_json, wait_until_ready

_ITEMS, _USERS, SEED = 1_000_000, 1_000, 0
_COMPARED = 200
_ROUNDS = 9
_SECONDS = 3
_WAYS = ("exact", "approximate")
_PROTOCOL = f"""### Shards

`make bench BENCH=shards`: explained top 20 over {{items}} items (grown model, seed {SEED}) of one
replica with all of them and of two shards with half of them each (`MAGNET_SHARD`), on one machine,
asked over one connection in {_ROUNDS} rounds of {_SECONDS} s in turns. The ratio is the median of
the rounds' own. *In both lists*: share of the places of {_COMPARED} users' lists; scores: the
largest difference of an item's two scores, or of a score from the sum of its bias and
contributions. Processor time is that of an answer in each process: shards work side by side, and
where a processor is free for each, an answer takes as long as who is asked works or waits for the
other. Memory is proportional; what both map counts half. `BENCH_SCALE=1` is {_ITEMS:,}
items."""


def measure() -> Outcome:
    """Compare their lists, and ask them in turn."""
    figures: dict[str, float] = {}
    rows = []
    items = scaled(_ITEMS, 2_000)
    with rig() as held:
        held.publish(held.save(grown_artifact(items, _USERS, SEED)))
        for way in _WAYS:
            sys.stderr.write(f"  {way} ...\n")
            whole, *shards = _started(held, way)
            found = compared(whole, shards[0])
            times = [(asked(whole), asked(*shards)) for _ in range(_ROUNDS + 1)][1:]
            ratio = statistics.median(two.p50_ms / one.p50_ms for one, two in times)
            alone, (front, other) = (
                [statistics.median(of_one) for of_one in zip(*taken, strict=True)]
                for taken in zip(*((o.processor_ms, t.processor_ms) for o, t in times), strict=True)
            )
            figures |= {
                f"shards_{way}_in_both_lists": round(found.in_both, 5),
                f"shards_{way}_score_difference": max(found.differ_by, found.sums_differ_by),
                f"shards_{way}_p50_over_one": round(ratio, 3),
                f"shards_{way}_processor_over_one": round(front / alone[0], 3),
            }
            rows.append(
                {
                    "search": way,
                    "in both lists": f"{found.in_both:.4f}",
                    "scores differ by": f"{max(found.differ_by, found.sums_differ_by):.1e}",
                    "p50 over one's": f"{ratio:.2f}",
                    "processor, ms: one": f"{alone[0]:.2f}",
                    "who is asked": f"{front:.2f}",
                    "the other": f"{other:.2f}",
                    "one, MB": f"{proportional_mb(whole.child.pid):,.0f}",
                    "a shard, MB": f"{proportional_mb(shards[0].child.pid):,.0f}",
                }
            )
            for replica in (whole, *shards):
                replica.child.stop()
                held.replicas.remove(replica)
    return Outcome.of(figures, _PROTOCOL.format(items=f"{items:,}"), rows)


def _started(held: Rig, way: str) -> list[Replica]:
    """One replica with all items, and two shards."""
    usual = {"MAGNET_CACHE_DIR": str(held.folder / "cache"), "MAGNET_RETRIEVAL": way}
    whole = held.start(usual)
    ports = free_port(), free_port()
    urls = ",".join(f"http://{HOST}:{port}" for port in ports)
    shards = [
        held.start(
            usual | {"MAGNET_SHARD": f"{number}/2", "MAGNET_SHARDS": urls}, port=port, ready=False
        )
        for number, port in enumerate(ports, 1)
    ]
    for shard in shards:
        wait_until_ready(shard.url, [shard.child])
    return [whole, *shards]


@dataclass(frozen=True, slots=True)
class Compared:
    """The lists of one replica beside those of another."""

    in_both: float
    """Share of places whose items are in both lists."""
    differ_by: float
    """The most of an item's two scores."""
    sums_differ_by: float
    """The most of the other one's scores and the sums of their parts."""


def compared(one: Replica, other: Replica) -> Compared:
    """Ask both for the lists of the same users."""
    shares, differ_by, sums_differ_by = [], 0.0, 0.0
    for user in range(_COMPARED):
        expected, found = (
            _scores(get_json(replica.url + PATH.format(user))) for replica in (one, other)
        )
        common = expected.keys() & found.keys()
        shares.append(len(common) / len(expected))
        for item in common:
            score, parts = found[item]
            differ_by = max(differ_by, abs(score - expected[item][0]))
            sums_differ_by = max(sums_differ_by, abs(score - parts))
    return Compared(statistics.mean(shares), differ_by, sums_differ_by)


def _scores(answer: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Each item's score, and the sum of its bias and contributions."""
    if answer["warnings"]:
        raise ValueError(f"a list was not whole: {answer['warnings']}")
    return {
        item["item_id"]: (item["score"], item["bias"] + _sum(item["experts"]))
        for item in answer["items"]
    }


def _sum(experts: Sequence[Mapping[str, float]]) -> float:
    return sum(expert["contribution"] for expert in experts)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a load of one connection has taken."""

    p50_ms: float
    processor_ms: tuple[float, ...]
    """Processor time of an answer in each process that takes part."""


def asked(asked: Replica, *others: Replica) -> Asked:
    """Ask a replica, which asks others."""
    replicas = (asked, *others)
    before = [processor_seconds(each.child.pid) for each in replicas]
    found = load(asked.url, PATH, users=_USERS, connections=1, seconds=scaled(_SECONDS, 1))
    if found.errors or found.degraded:
        raise ValueError("requests failed, or lists were not whole")
    after = [processor_seconds(each.child.pid) for each in replicas]
    taken = (1e3 * (b - a) / found.requests for a, b in zip(before, after, strict=True))
    return Asked(found.p50_ms, tuple(taken))
