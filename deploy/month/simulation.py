"""The month itself: each day's lists asked for, its feedback reported, and the night's retraining.

Knows the order of things; knows nothing about how a retraining or a service works.
"""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from deploy.embedded import embedded_server
from deploy.month.days import Day
from deploy.month.outcome import FROZEN, LENGTH, NIGHTLY, TOLD, DayOutcome, Month
from deploy.month.stage import services
from deploy.month.visitors import Ask, Visitors
from deploy.replay import Replay
from training.explained import ExplainedError
from training.publish import publish_artifact
from training.retrain.job import retrain
from training.retrain.runs import Runs
from training.retrain.settings import RetrainConfig


class MonthError(ExplainedError):
    """The month cannot be begun; the message says why."""


def simulate(
    replay: Replay,
    days: Sequence[Day],
    config: RetrainConfig,
    folder: Path,
    on_day: Callable[[Month], None],
) -> Month:
    """Live through the days; the night before each but the first is one retraining.

    Args:
        replay: who did what when.
        days: at least two.
        config: of the retraining; its folders, server and namespace are replaced.
        folder: for everything; new or empty.
        on_day: called after each measured day.

    Raises:
        MonthError: there is no first model.
        ChildDied: a server or a service ended.
        OSError: a service refused something.
        ExplainedError: what a retraining raises.
    """
    data = folder / "data"
    replay.write_first(days[0].start, data)
    with embedded_server(folder / "valkey", folder / "valkey.log") as server:
        url = server.url
        config = config.model_copy(
            update={
                "state": folder / "state",
                "redis_url": url,
                "namespace": NIGHTLY,
                "data": config.data.model_copy(update={"folder": data}),
            }
        )
        start = retrain(config)
        made = Runs(config.state).of_version(start.version)
        if not start.live or made is None:
            raise MonthError(f"the first training ended otherwise ({start.result}): {start.reason}")
        publish_artifact(made[0].artifact, url, FROZEN)
        with services(folder, url, (NIGHTLY, FROZEN)) as (nightly, frozen):
            month = Month(dataset=replay.source.stem, first=days[0], start=start)
            visitors = Visitors(replay, days[0].start)
            lists: dict[str, Ask] = {
                NIGHTLY: lambda user_id, _: nightly.top(LENGTH, user_id),
                FROZEN: lambda user_id, _: frozen.top(LENGTH, user_id),
                TOLD: lambda user_id, liked: frozen.top(LENGTH, user_id, liked),
            }
            for yesterday, today in pairwise(days):
                for service in (nightly, frozen):
                    service.tell(replay.events(yesterday.start, yesterday.stop))
                began = time.process_time()
                night = retrain(config)
                cpu_seconds = time.process_time() - began
                if night.live:
                    nightly.wait_for(str(night.version))
                visits = tuple(visitors.of(today, lists))
                month.days.append(
                    DayOutcome(day=today, night=night, cpu_seconds=cpu_seconds, visits=visits)
                )
                on_day(month)
    return month
