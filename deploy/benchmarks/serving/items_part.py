"""Part `items`: many items are put beside requests, and how soon a new item is in a list."""

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import httpx2

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import MODALITIES, grown_artifact
from deploy.benchmarks.serving.grown_items import new_items, with_item_encoder
from deploy.benchmarks.serving.load import Load, load, loading, percentile
from deploy.benchmarks.serving.rig import PATH, Replica, Rig, rig
from deploy.cli.items import LINES_AT_ONCE

SEED = 0
ITEMS = 7_000
PUT = 100_000
"""Items, in as many rounds as there are of `_ROUNDS`."""
_USERS = 1_000
_ROUNDS = 10
_RATE = 25.0
_SECONDS = 5.0
_PUTS = 100
_LOOK_SECONDS = 0.02
"""Between two looks for one item; a tenth as often for many, so that looking is no load."""
_PATIENCE_SECONDS = 60.0
_TRIES = 10

_PROTOCOL = f"""### Items put while they are served

`make bench BENCH=items`: a catalogue of {ITEMS:,} items (grown model, seed {SEED}) and
{_RATE:.0f} requests per second for an explained top 20, open loop. The service has one worker on
one CPU; all else is on another, if there is one. First {_PUTS} single items are put, to one of two
replicas after the other: the time from the call to the first list with the item on the slower one.
Then one replica is left, and {PUT:,} items are put in {_ROUNDS} rounds of calls of
`/v1/items:bulk` with {LINES_AT_ONCE:,} lines each, as `magnet items bulk` makes them. Each round
measures lists for {_SECONDS:.0f} s, then lists from its first call until its last item is in a
list; medians over rounds. Items with features send two modalities of 128 numbers; the
others have a title, a description and a category, of which the service makes text features.
`BENCH_SCALE` scales items and single puts."""
_LIMITS = """The aims are no error, a p99 of at most twice that before, and a second from a put to
the list. What limits the p99 is the processor that lists and new items share, and more so where
Redis, the load and other programs share it too."""


def measure() -> Outcome:
    """Put items with features, and with texts alone."""
    rows: list[dict[str, str]] = []
    figures: dict[str, float] = {"items_errors": 0.0}
    for kind, features in (("features", MODALITIES[1:]), ("texts", ())):
        with rig() as held:
            replica = _started(held)
            soonest = sorted(_put_to_list(held, replica, features))
            rounds = _rounds(replica, features)
        figures["items_errors"] += rounds.errors
        figures[f"items_{kind}_p99_over_before"] = round(rounds.ratio, 2)
        figures[f"items_{kind}_put_to_list_p99_s"] = round(percentile(soonest, 99), 3)
        rows.append(
            {
                "items with": kind,
                "errors": f"{rounds.errors}",
                "answers": f"{sum(x.requests for x in rounds.during):,}",
                "items a second": f"{scaled(PUT, _ROUNDS) / sum(rounds.seconds):,.0f}",
                "p99 before, ms": f"{_p99(rounds.before):.1f}",
                "during": f"{_p99(rounds.during):.1f}",
                "during over before": f"{rounds.ratio:.2f}",
                "put to list p50, s": f"{statistics.median(soonest):.3f}",
                "p99": f"{percentile(soonest, 99):.3f}",
            }
        )
    return Outcome.of(figures, _PROTOCOL, rows, _LIMITS)


def _started(held: Rig) -> Replica:
    """The service on one CPU; Redis, the load and this process on the other."""
    held.publish(held.save(with_item_encoder(grown_artifact(ITEMS, _USERS, SEED), SEED)))
    replica = held.start(cpus=[held.pin()])
    load(replica.url, PATH, users=_USERS, rate=_RATE, seconds=_SECONDS)
    return replica


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What was measured before and during each round."""

    before: list[Load]
    during: list[Load]
    seconds: list[float]
    """Seconds until its items were served."""
    refused: int
    """Calls, in all rounds."""

    @property
    def errors(self) -> int:
        """Failed lists and bulk calls."""
        return self.refused + sum(each.errors for each in (*self.before, *self.during))

    @property
    def ratio(self) -> float:
        """The median of what p99 is during a round over what it is right before."""
        pairs = zip(self.before, self.during, strict=True)
        return statistics.median(during.p99_ms / before.p99_ms for before, during in pairs)


def _p99(loads: list[Load]) -> float:
    return statistics.median(each.p99_ms for each in loads)


def _rounds(replica: Replica, features: Sequence[str]) -> _Rounds:
    before, during, seconds = [], [], []
    refused = 0
    share = scaled(PUT, _ROUNDS) // _ROUNDS
    with httpx2.Client(base_url=replica.url, trust_env=False, timeout=_PATIENCE_SECONDS) as client:
        for number in range(_ROUNDS):
            sys.stderr.write(f"  round {number + 1} of {_ROUNDS} ...\n")
            lines = new_items(number * share, share, features=features, seed=SEED)
            before.append(load(replica.url, PATH, users=_USERS, rate=_RATE, seconds=_SECONDS))
            with loading(replica.url, PATH, users=_USERS, rate=_RATE) as end:
                started = time.perf_counter()
                for start in range(0, share, LINES_AT_ONCE):
                    body = b"\n".join(lines[start : start + LINES_AT_ONCE])
                    refused += _put(client, body)
                _wait_for(client, f"n{(number + 1) * share - 1:07d}", 10 * _LOOK_SECONDS)
                seconds.append(time.perf_counter() - started)
                during.append(end())
    return _Rounds(before, during, seconds, refused)


def _put(client: httpx2.Client, body: bytes) -> int:
    """Put items; how often the service refused them before."""
    for refused in range(_TRIES):
        if client.post("/v1/items:bulk", content=body).status_code == 200:
            return refused
    raise ValueError(f"the service refused a bulk call {_TRIES} times")


def _put_to_list(held: Rig, first: Replica, features: Sequence[str]) -> Iterator[float]:
    """Seconds from each call to the first list of the slower one of two replicas."""
    other = held.start()
    numbers = count(PUT)
    with (
        httpx2.Client(base_url=first.url, trust_env=False) as one,
        httpx2.Client(base_url=other.url, trust_env=False) as two,
        loading(first.url, PATH, users=_USERS, rate=_RATE),
    ):
        for number, (writer, reader) in zip(
            numbers, [(one, two), (two, one)] * (scaled(_PUTS, 4) // 2), strict=False
        ):
            item = json.loads(new_items(number, 1, features=features, seed=SEED)[0])
            item_id = item.pop("item_id")
            started = time.perf_counter()
            writer.put(f"/v1/items/{item_id}", json=item).raise_for_status()
            for client in (writer, reader):
                _wait_for(client, item_id, _LOOK_SECONDS)
            yield time.perf_counter() - started
    other.child.stop()


def _wait_for(client: httpx2.Client, item_id: str, pause: float) -> None:
    """Return once a list has the item; ValueError if none has for a minute."""
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    asked = {"user_id": "u000000000", "k": 1, "candidates": [item_id]}
    while not client.post("/v1/recommendations", json=asked).json().get("items"):
        if time.perf_counter() > deadline:
            raise ValueError(f"item {item_id} was put a minute ago and is in no list")
        time.sleep(pause)
