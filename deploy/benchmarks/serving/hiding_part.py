"""Part `hiding`: what a change costs when a million items are hidden, and what it stalls."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import httpx2

from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.rig import Outcome, Replica, Rig, cpu_pair, rig, scaled

SEED = 0
ITEMS = 20_000
HIDDEN = 1_000_000
AT_ONCE = 5_000
USERS = 50
_ROUNDS = 8
_SECONDS = 4.0
_PAUSE_SECONDS = 0.002
"""Between requests, so that what is measured is no queue."""
_LIST = "/v1/users/u{:09d}/recommendations?k=20"

_PROTOCOL = f"""### Hiding

`make bench BENCH=hiding`: one worker on a CPU of its own, {ITEMS:,} items (grown model, seed
{SEED}). {HIDDEN:,} ids are hidden by bulk calls of {AT_ONCE:,}; {ITEMS // 2:,} of them are the
model's, and the rate is that until a list is made with all of them. Then rounds of
{_SECONDS:g} s in turns: lists alone, and lists each after an item of it was hidden or shown, which
the list has to follow. Meanwhile another process asks `/livez` again and again: how long it waits
shows what stalls the event loop. The last column is the time until a new replica is ready, with
all of them hidden over with none."""


def measure() -> Outcome:
    """Hide a million items, then time lists right after changes, and `/livez` meanwhile."""
    with rig() as held, ProcessPoolExecutor(1) as other:
        replica, started = _started(held)
        hiding = _hide_most(replica.url)
        _, again = _replica(held)
        lists: dict[bool, list[float]] = {False: [], True: []}
        pings: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(scaled(_ROUNDS, 1)):
            for changing in lists:
                asked = other.submit(_pings, replica.url, _SECONDS)
                lists[changing] += _lists(replica.url, _SECONDS, changing=changing)
                pings[changing] += asked.result()
    quiet, changed = (sorted(lists[changing]) for changing in (False, True))
    still, moving = (sorted(pings[changing]) for changing in (False, True))
    return Outcome.of(
        {
            "hiding_next_list_p99_ms": round(_ms(changed, 0.99), 2),
            "hiding_livez_p999_ms": round(_ms(moving, 0.999), 2),
            "hiding_bulk_per_second": round(HIDDEN / hiding),
        },
        _PROTOCOL,
        [
            {
                "": name,
                "list p50, ms": f"{_ms(asked, 0.5):.1f}",
                "p99": f"{_ms(asked, 0.99):.1f}",
                "max": f"{_ms(asked, 1):.1f}",
                "`/livez` p50, ms": f"{_ms(waited, 0.5):.2f}",
                "p99.9": f"{_ms(waited, 0.999):.2f}",
                "max ": f"{_ms(waited, 1):.2f}",
                "hidden a second, in bulk": bulk,
                "ready after, s": ready,
            }
            for name, asked, waited, bulk, ready in (
                ("without changes", quiet, still, "", f"{started:.1f}"),
                ("with changes", changed, moving, f"{HIDDEN / hiding:,.0f}", f"{again:.1f}"),
            )
        ],
    )


def _started(held: Rig) -> tuple[Replica, float]:
    """A service, and the seconds until it was ready; Redis and this process on the other CPU."""
    _, client_cpu = cpu_pair()
    os.sched_setaffinity(held.server.child.pid, {client_cpu})
    held.publish(held.save(grown_artifact(ITEMS, USERS, SEED)))
    replica = _replica(held)
    os.sched_setaffinity(0, {client_cpu})
    return replica


def _replica(held: Rig) -> tuple[Replica, float]:
    server_cpu, _ = cpu_pair()
    started = time.perf_counter()
    cache = {"MAGNET_CACHE_DIR": str(held.folder / f"cache-{len(held.replicas)}")}
    replica = held.start(cache, cpus=[server_cpu])
    return replica, time.perf_counter() - started


def _hide_most(url: str) -> float:
    """Hide every other item of the model and ids that it does not know.

    Returns:
        The seconds until a list is made with all of them.
    """
    ids = [f"i{number:09d}" for number in range(0, ITEMS, 2)]
    ids += [f"gone-{number}" for number in range(HIDDEN - len(ids))]
    started = time.perf_counter()
    with httpx2.Client(base_url=url, trust_env=False) as client:
        for first in range(0, HIDDEN, AT_ONCE):
            body = {"item_ids": ids[first : first + AT_ONCE], "available": False}
            client.post("/v1/items:availability", json=body).raise_for_status()
        while client.get(_LIST.format(0)).json()["warnings"]:
            pass
    return time.perf_counter() - started


def _lists(url: str, seconds: float, *, changing: bool) -> list[float]:
    """Seconds of each list; with `changing`, each after an item of it was hidden or shown."""
    took = []
    deadline = time.perf_counter() + seconds
    with httpx2.Client(base_url=url, trust_env=False) as client:
        for user in _users():
            path = _LIST.format(user)
            item_id = client.get(path).json()["items"][0]["item_id"]
            for available in (False, True):
                if changing:
                    body = {"available": available}
                    client.put(f"/v1/items/{item_id}/availability", json=body).raise_for_status()
                started = time.perf_counter()
                shown = {each["item_id"] for each in client.get(path).json()["items"]}
                took.append(time.perf_counter() - started)
                time.sleep(_PAUSE_SECONDS)
                if changing and (item_id in shown) != available:
                    raise ValueError(f"the list of user {user} does not follow item {item_id}")
            if time.perf_counter() > deadline:
                return took
    return took


def _users() -> Iterator[int]:
    while True:
        yield from range(USERS)


def _pings(url: str, seconds: float) -> list[float]:
    """Seconds of each answer of `/livez`, asked for one after the other."""
    took = []
    deadline = time.perf_counter() + seconds
    with httpx2.Client(base_url=url, trust_env=False) as client:
        while (started := time.perf_counter()) < deadline:
            client.get("/livez").raise_for_status()
            took.append(time.perf_counter() - started)
            time.sleep(_PAUSE_SECONDS)
    return took


def _ms(ascending: Sequence[float], share: float) -> float:
    return 1e3 * ascending[min(len(ascending) - 1, int(share * len(ascending)))]
