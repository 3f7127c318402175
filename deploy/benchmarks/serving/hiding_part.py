"""Part `hiding`: what a change costs when a million items are hidden, and what it stalls."""

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle

import httpx2

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import percentile
from deploy.benchmarks.serving.rig import Replica, Rig, rig

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
        held.publish(held.save(grown_artifact(ITEMS, USERS, SEED)))
        service_cpu = held.pin()
        replica, started = _started(held, service_cpu)
        hiding = _hide_most(replica.url)
        _, again = _started(held, service_cpu)
        lists: dict[bool, list[float]] = {False: [], True: []}
        pings: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(scaled(_ROUNDS, 1)):
            for changing in lists:
                asked = other.submit(_pings, replica.url, _SECONDS)
                lists[changing] += _lists(replica.url, _SECONDS, changing=changing)
                pings[changing] += asked.result()
    quiet, changed, still, moving = (
        sorted(1e3 * seconds for seconds in taken[changing])
        for taken in (lists, pings)
        for changing in (False, True)
    )
    return Outcome.of(
        {
            "hiding_next_list_p99_ms": round(percentile(changed, 99), 2),
            "hiding_livez_p999_ms": round(percentile(moving, 99.9), 2),
            "hiding_bulk_per_second": round(HIDDEN / hiding),
        },
        _PROTOCOL,
        [
            {
                "": name,
                "list p50, ms": f"{percentile(asked, 50):.1f}",
                "p99": f"{percentile(asked, 99):.1f}",
                "max": f"{asked[-1]:.1f}",
                "`/livez` p50, ms": f"{percentile(waited, 50):.2f}",
                "p99.9": f"{percentile(waited, 99.9):.2f}",
                "max ": f"{waited[-1]:.2f}",
                "hidden a second, in bulk": bulk,
                "ready after, s": ready,
            }
            for name, asked, waited, bulk, ready in (
                ("without changes", quiet, still, "", f"{started:.1f}"),
                ("with changes", changed, moving, f"{HIDDEN / hiding:,.0f}", f"{again:.1f}"),
            )
        ],
    )


def _started(held: Rig, cpu: int) -> tuple[Replica, float]:
    """A service, and the seconds until it was ready."""
    started = time.perf_counter()
    cache = {"MAGNET_CACHE_DIR": str(held.folder / f"cache-{len(held.replicas)}")}
    replica = held.start(cache, cpus=[cpu])
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
        for user in cycle(range(USERS)):
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
