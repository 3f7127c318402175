"""What a model was asked is counted once: answered, failed, or neither."""

import asyncio

import numpy as np
import pytest

from service.ops.metrics import Metrics
from service.schemas.errors import Overloaded, UnknownUser
from service.serving.served import ServingStatistics


@pytest.mark.parametrize(
    ("error", "answers", "failures"),
    [
        (None, 1, 0),
        (UnknownUser("who"), 0, 0),
        (Overloaded("full"), 0, 1),
        (RuntimeError("bug"), 0, 1),
        (asyncio.CancelledError(), 0, 1),  # the deadline
    ],
)
def test_an_attempt_is_an_answer_or_a_failure_or_the_callers_fault(
    error: BaseException | None, answers: int, failures: int
) -> None:
    metrics = Metrics()
    statistics = ServingStatistics(["one", "other"], metrics, "challenger")

    def work() -> None:
        with statistics.attempt():
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    counts = statistics.counts()
    assert (counts.answers, counts.failures, counts.requests) == (
        answers,
        failures,
        answers + failures,
    )
    labels = {"variant": "challenger"}
    value = metrics.registry.get_sample_value
    assert value("magnet_answer_seconds_count", labels) == answers
    assert value("magnet_answer_failures_total", labels) == failures


async def routed(statistics: ServingStatistics, *lists: list[float]) -> None:
    """Count some lists, and let the event loop go on once."""
    for weights in lists:
        statistics.routed(np.array(weights))
    await asyncio.sleep(0)


def test_a_window_is_what_came_after_its_start() -> None:
    metrics = Metrics()
    statistics = ServingStatistics(["one", "other"], metrics, "champion")
    asyncio.run(routed(statistics, [1.0, 0.0]))
    start = statistics.counts()
    asyncio.run(routed(statistics, [0.25, 0.75], [0.25, 0.75]))
    window = statistics.counts().since(start)
    value = metrics.registry.get_sample_value
    for expert, weight in (("one", 1.5), ("other", 1.5)):
        labels = {"expert": expert, "variant": "champion"}
        assert value("magnet_served_expert_weight_total", labels) == weight
    assert window.routed == 2
    assert window.weight_K.tolist() == [0.5, 1.5]
    assert start.weight_K.tolist() == [1.0, 0.0]
