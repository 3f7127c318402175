"""Part `live`: what live events cost a request, and how long a click takes to change a list."""

import statistics
import time
from datetime import UTC, datetime

import httpx2
import numpy as np

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load, percentile
from deploy.benchmarks.serving.rig import Rig, processor_seconds, rig

SEED = 0
ITEMS = 7_000
USERS = 100
"""Users without events, and as many with events."""
EVENTS = 20
CONNECTIONS = 16
_ROUNDS = 12
_SECONDS = 2
_CLICKS = 1_000
_WITHOUT, _WITH = "/v1/users/u0000000{:02d}", "/v1/users/u0000001{:02d}"
_LIST = "/recommendations?k=20"

_PROTOCOL = f"""### Live events

`make bench BENCH=live`: explained top 20 over {ITEMS:,} items (grown model, seed {SEED}) of one
worker on a CPU of its own, for {USERS} users without live events and for {USERS} others with
{EVENTS} each, in turns; processor time of the service, median over rounds of {CONNECTIONS}
connections. The events are clicks on items of the users' own lists, which make their histories of
50 items 70 long; what they make of a user is made once and kept until there are others. Then, one
after the other, a click is reported and a list is asked for: the time from the report to the
answer, which has to be made with that click."""


def measure() -> Outcome:
    """Compare requests with and without live events, and time clicks."""
    with rig() as held:
        url, pid = _started(held)
        _click_around(url)
        took: dict[str, list[float]] = {_WITHOUT: [], _WITH: []}
        for _ in range(scaled(_ROUNDS, 1)):
            for path, seconds in took.items():
                seconds.append(_round(url, pid, path + _LIST))
        clicks = sorted(_clicks(url, scaled(_CLICKS, 20)))
    without, with_events = (statistics.median(seconds) for seconds in took.values())
    p50, p99 = (1e3 * percentile(clicks, share) for share in (50, 99))
    return Outcome.of(
        {
            "live_over_without": round(with_events / without, 3),
            "click_to_list_p99_ms": round(p99, 2),
        },
        _PROTOCOL,
        [
            {
                "without, processor ms": f"{without * 1e3:.3f}",
                f"{EVENTS} events": f"{with_events * 1e3:.3f}",
                "over without": f"{with_events / without:.3f}",
                "click to list p50, ms": f"{p50:.1f}",
                "p99, ms": f"{p99:.1f}",
            }
        ],
    )


def _started(held: Rig) -> tuple[str, int]:
    """The service's address and process, on one CPU; Redis and this process on the other."""
    held.publish(held.save(grown_artifact(ITEMS, 2 * USERS, SEED)))
    replica = held.start(cpus=[held.pin()])
    return replica.url, replica.child.pid


def _click_around(url: str) -> None:
    """Every user of the second half clicks on items all over their list."""
    rng = np.random.default_rng(SEED)
    with httpx2.Client(base_url=url, trust_env=False) as client:
        for user in range(USERS):
            path = _WITH.format(user)
            items = client.get(f"{path}/recommendations?k=100").json()["items"]
            chosen = rng.choice(len(items), EVENTS, replace=False).tolist()
            _report(client, path, [items[place]["item_id"] for place in chosen])


def _round(url: str, pid: int, path: str) -> float:
    """Processor seconds of the service per request."""
    before = processor_seconds(pid)
    done = load(url, path, seconds=_SECONDS, users=USERS, connections=CONNECTIONS)
    if done.errors:
        raise ValueError(f"the service answered {done.statuses}, {done.broken} broken")
    return (processor_seconds(pid) - before) / done.requests


def _clicks(url: str, count: int) -> list[float]:
    """Seconds from each report to the list that is made with it; ValueError for one that is not."""
    seconds = []
    with httpx2.Client(base_url=url, trust_env=False) as client:
        for number in range(count):
            path = _WITHOUT.format(number % USERS)
            before = client.get(path + _LIST).json()
            item_id = before["items"][number % 20]["item_id"]
            started = time.perf_counter()
            _report(client, path, [item_id])
            after = client.get(path + _LIST).json()
            seconds.append(time.perf_counter() - started)
            shown = {item["item_id"] for item in after["items"]}
            if after["live_events"] != before["live_events"] + 1 or item_id in shown:
                raise ValueError(f"the list of {path} does not know the click on {item_id}")
    return seconds


def _report(client: httpx2.Client, path: str, item_ids: list[str]) -> None:
    now, user_id = datetime.now(UTC).isoformat(), path.rpartition("/")[2]
    events = [
        {
            "event_id": f"{user_id}-{item_id}",
            "user_id": user_id,
            "item_id": item_id,
            "type": "click",
            "timestamp": now,
        }
        for item_id in item_ids
    ]
    client.post("/v1/feedback", json={"events": events}).raise_for_status()
