"""A Ray cluster as the engine: every part is a task.

Ray decides where a task runs, and runs it again if its worker was lost. Lines of workers' logs come
back through a queue that Ray keeps on this machine, and are shown as if the work were done here.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from logging.handlers import QueueHandler, QueueListener
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from typing_extensions import override

from training.cluster.engine import ClusterError, on_cpu
from training.errors import ExplainedError

Part = TypeVar("Part")
Result = TypeVar("Result")
LOSSES = 3
"""How often the worker of one part may be lost, or one of those that train together."""
_PARTS_PER_CPU = 2
"""Parts that are handed out for each processor; results of more would fill Ray's memory."""
_SECONDS_TO_ANSWER = 5.0


@contextmanager
def cluster_at(address: str) -> Iterator["RayCluster"]:
    """The cluster at an address of `engine_at`; ClusterError if there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    host, _, port = address.rpartition(":")
    # What Ray says of lost machines would stand on standard output, among a command's results.
    with redirect_stdout(sys.stderr):
        try:
            if host:  # Ray itself would wait for minutes
                socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
            here: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            with _signals_kept():
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"there is no Ray cluster at {address} ({error}): start one with `ray start "
                "--head`, or name `local` to compute on this machine's processors"
            ) from error
        try:
            yield RayCluster()
        finally:
            ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Have the handlers of signals that there were, whatever Ray sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class RayCluster:
    """The cluster that this process is connected to."""

    def each(
        self,
        work: Callable[[Part], Result],
        parts: Sequence[Part],
        device_of: Callable[[Part], str] = on_cpu,
    ) -> Iterator[tuple[Part, Result]]:
        """As in `Engine`, a task for each part."""
        task = ray.remote(num_cpus=1, max_retries=LOSSES)(_task)
        has_gpus = _left("GPU") >= 1
        with lines_shown() as lines:
            shared, waiting = ray.put(work), iter(parts)
            running: dict[Any, Part] = {}
            while True:
                most = _PARTS_PER_CPU * max(1, int(_left("CPU")))
                for part in islice(waiting, max(0, most - len(running))):
                    placed = task.options(num_gpus=int(has_gpus and device_of(part) != "cpu"))
                    running[placed.remote(shared, part, lines)] = part
                if not running:
                    return
                (done,), _ = ray.wait(list(running))
                yield running.pop(done), _result(done)


def _left(resource: str) -> float:
    """How much of it the machines that are left have together."""
    return float(ray.cluster_resources().get(resource, 0))


def _task(work: Callable[[Part], Result], part: Part, lines: Queue) -> Result:
    """In a worker: one part. An error that is explained travels as its message."""
    tell(lines)
    try:
        return work(part)
    except ExplainedError as error:
        raise ExplainedError(str(error)) from error


def _result(done: Any) -> Any:
    """What a task returned; raises what it raised."""
    try:
        return ray.get(done)
    except RayTaskError as error:
        if isinstance(error.cause, ExplainedError):
            raise error.cause from error
        raise
    except RayError as error:
        raise ClusterError(
            f"the Ray cluster has lost {LOSSES + 1} workers over one part of the work, perhaps for "
            f"lack of memory ({error}): run it again, which keeps what is done"
        ) from error


@contextmanager
def lines_shown() -> Iterator[Queue]:
    """A queue on this machine; what workers put into it goes to this process's log."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    lines = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    listener = QueueListener(lines, _Log())
    listener.start()
    try:
        yield lines
    finally:
        listener.stop()
        lines.shutdown()


class _Log(logging.Handler):
    """Hands a worker's line to the logger that it was written to."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def tell(lines: Queue) -> None:
    """In a worker: put what the command line would show into the queue."""
    root = logging.getLogger()
    root.handlers = [QueueHandler(lines)]
    root.setLevel(logging.WARNING)
    logging.getLogger("training").setLevel(logging.INFO)
