"""The simulated days: lists are asked for, feedback is reported, the model is retrained.

Letters: K length of the ranked list, B users of a block, here one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deploy.benchmarks.lifecycle.report import (
    FROZEN,
    JOINED,
    KNOWN,
    LENGTH,
    LIVE,
    MORNING,
    NEW,
    NIGHTLY,
    WITH_SESSIONS,
    Day,
    DayOutcome,
    Simulation,
    Visit,
)
from deploy.benchmarks.replay import Replay
from deploy.benchmarks.serving.rig import Replica, rig
from deploy.local.servers import post_json
from model.registry.records import ReportedEvent
from service.schemas.requests import MAX_EVENTS, MAX_SESSION
from training.errors import ExplainedError
from training.evaluate.protocol import ndcg_at_k, recall_at_k
from training.publish import publish_artifact
from training.retrain.job import retrain
from training.retrain.runs import Runs
from training.retrain.settings import RetrainConfig

_SETTINGS = {"MAGNET_RECENT_ITEMS": "10000", "MAGNET_MAX_K": "20000"}
"""No user of a simulation has more: `exclude_seen` covers everything that was reported, and a list
of the morning is long enough for a day."""


def _top(
    replica: Replica, user_id: str, session_items: Sequence[str] = (), length: int = LENGTH
) -> list[str]:
    """The best items that a user has not seen; a session that is too long loses its oldest."""
    body = {
        "user_id": user_id,
        "session_items": list(session_items[-MAX_SESSION:]),
        "k": length,
        "exclude_seen": True,
        "explain": "none",
    }
    items = post_json(f"{replica.url}/v1/recommendations", body)["items"]
    return [item["item_id"] for item in items]


def _report(replica: Replica, events: Sequence[ReportedEvent]) -> None:
    for start in range(0, len(events), MAX_EVENTS):
        some = [event.model_dump(mode="json") for event in events[start : start + MAX_EVENTS]]
        post_json(f"{replica.url}/v1/feedback", {"events": some})


Ask = Callable[[str, list[str]], list[str]]
"""A user's list, best item first; the second argument is what they have liked since the start."""


@dataclass(frozen=True, slots=True)
class Visitors:
    """The users of a simulation that begins with interaction `first`."""

    replay: Replay
    first: int
    top: Callable[[str, int], list[str]]
    """The nightly service's list for a user, of a length."""
    tell: Callable[[ReportedEvent], None]
    """Reports to it what a user has just done."""

    def of(self, today: Day, services: Mapping[str, Ask]) -> Iterator[Visit]:
        """Everybody who likes something today that they have never interacted with."""
        replay, before = self.replay, today.start
        had = set(zip(replay.user_N[:before], replay.item_N[:before], strict=True))
        at_start, since = set(replay.user_N[: self.first]), set(replay.user_N[self.first : before])
        likes: dict[str, set[str]] = {}
        for user_id, item_id in self._liked(today.start, today.stop):
            if (user_id, item_id) not in had:
                likes.setdefault(user_id, set()).add(item_id)
        session: dict[str, list[str]] = {}
        for user_id, item_id in self._liked(self.first, before):
            session.setdefault(user_id, []).append(item_id)
        done: dict[str, list[ReportedEvent]] = {}
        for event in replay.events(today.start, today.stop):
            done.setdefault(event.user_id, []).append(event)
        for user_id, items in likes.items():
            liked = session.get(user_id, [])
            lists = {service: ask(user_id, liked) for service, ask in services.items()}
            yield Visit(
                user_id=user_id,
                group=KNOWN if user_id in at_start else JOINED if user_id in since else NEW,
                value={service: _value(top, items) for service, top in lists.items()},
                next_like=self._next_likes(user_id, items, done[user_id]),
            )

    def _next_likes(
        self, user_id: str, items: set[str], events: Sequence[ReportedEvent]
    ) -> dict[str, dict[str, float]]:
        """Tell the nightly service what a user does, and before each like ask for a list.

        Without live events the list would be that of the morning, less what was seen since.
        """
        morning = self.top(user_id, LENGTH + len(events))
        seen: set[str] = set()
        values: dict[str, list[dict[str, float]]] = {MORNING: [], LIVE: []}
        for event in events:
            if event.item_id in items - seen:
                left = [item for item in morning if item not in seen][:LENGTH]
                values[MORNING].append(_value(left, {event.item_id}))
                values[LIVE].append(_value(self.top(user_id, LENGTH), {event.item_id}))
            self.tell(event)
            seen.add(event.item_id)
        return {
            way: {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}
            for way, each in values.items()
        }

    def _liked(self, start: int, stop: int) -> Iterator[tuple[str, str]]:
        for n in np.flatnonzero(self.replay.liked_N[start:stop]).tolist():
            yield self.replay.user_N[start + n], self.replay.item_N[start + n]


def _value(top: list[str], items: set[str]) -> dict[str, float]:
    hit_BK = np.array([[item_id in items for item_id in top]])
    num_relevant_B = np.array([len(items)])
    return {
        f"{name}@{LENGTH}": float(metric(hit_BK, num_relevant_B, LENGTH)[0])
        for name, metric in (("recall", recall_at_k), ("ndcg", ndcg_at_k))
    }


class SimulationError(ExplainedError):
    """The simulation cannot begin; the message says why."""


def simulate(
    replay: Replay,
    days: Sequence[Day],
    config: RetrainConfig,
    on_day: Callable[[Simulation], None],
) -> Simulation:
    """Replay the days; the night before each but the first is one retraining.

    Args:
        replay: all interactions in the order of time.
        days: at least two.
        config: of the retraining; its folders, server and namespace are replaced.
        on_day: called after each measured day.

    Raises:
        SimulationError: there is no first model.
        ChildDied: a server or a service ended.
        OSError: a service refused something.
        ExplainedError: what a retraining raises.
    """
    with rig() as held:
        data, url = held.folder / "data", held.server.url
        replay.write_first(days[0].start, data)
        config = config.model_copy(
            update={
                "state": held.folder / "state",
                "redis_url": url,
                "namespace": NIGHTLY,
                "data": config.data.model_copy(update={"folder": data}),
            }
        )
        start = retrain(config)
        made = Runs(config.state).of_version(start.version)
        if not start.live or made is None:
            raise SimulationError(
                f"the first training ended otherwise ({start.result}): {start.reason}"
            )
        publish_artifact(made[0].artifact, url, FROZEN)
        nightly, frozen = (
            held.start(_SETTINGS | {"MAGNET_NAMESPACE": namespace})
            for namespace in (NIGHTLY, FROZEN)
        )
        simulation = Simulation(dataset=replay.source.stem, first=days[0], start=start)
        visitors = Visitors(
            replay,
            days[0].start,
            top=lambda user_id, length: _top(nightly, user_id, length=length),
            tell=lambda event: _report(nightly, [event]),
        )
        lists: dict[str, Ask] = {
            NIGHTLY: lambda user_id, _: _top(nightly, user_id),
            FROZEN: lambda user_id, _: _top(frozen, user_id),
            WITH_SESSIONS: lambda user_id, liked: _top(frozen, user_id, liked),
        }
        for yesterday, today in pairwise(days):
            events = replay.events(yesterday.start, yesterday.stop)
            _report(nightly, events)  # those of visitors it has been told: they count once
            # As seen only: live events would make the model of the start know of them.
            _report(frozen, [event.model_copy(update={"type": "view"}) for event in events])
            began = time.process_time()
            night = retrain(config)
            cpu_seconds = time.process_time() - began
            if night.live:
                nightly.wait_for(str(night.version))
            visits = tuple(visitors.of(today, lists))
            simulation.days.append(
                DayOutcome(day=today, night=night, cpu_seconds=cpu_seconds, visits=visits)
            )
            on_day(simulation)
    return simulation
