"""Who computes the parts of a job: this process, or a Ray cluster.

Either calls the same function with the same parts, so the results are the same. What to do when a
worker or its machine is lost is Ray's business: it runs the part again somewhere else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Protocol, TypeVar

from training.errors import ExplainedError

Part = TypeVar("Part")
Result = TypeVar("Result")
RAY_EXTRA = "pip install 'magnet-recommender[training,ray]', on every machine of it"


def on_cpu(_: object) -> str:
    """For parts that are computed on CPUs."""
    return "cpu"


class ClusterError(ExplainedError):
    """A cluster cannot be used, or has lost the work; the message says what to do."""


class Engine(Protocol):
    """What can compute a job's parts.

    Functions, parts and results travel between processes, so they can be pickled. Paths among them
    are absolute and mean the same on every machine.
    """

    def each(
        self,
        work: Callable[[Part], Result],
        parts: Sequence[Part],
        device_of: Callable[[Part], str] = on_cpu,
    ) -> Iterator[tuple[Part, Result]]:
        """Yield every part with its result, in whatever order they are done.

        Args:
            work: may be called again with a part whose worker was lost.
            parts: what to compute.
            device_of: says where a part is computed, as `choose_device` takes it: on another than
                `cpu` it gets a GPU, if the cluster has any.

        Raises:
            ClusterError: a part's worker was lost again and again.
        """
        ...


class LocalEngine:
    """This process."""

    def each(
        self,
        work: Callable[[Part], Result],
        parts: Sequence[Part],
        device_of: Callable[[Part], str] = on_cpu,
    ) -> Iterator[tuple[Part, Result]]:
        """As in `Engine`, one after another in their order."""
        del device_of
        for part in parts:
            yield part, work(part)


LOCAL = LocalEngine()


def engine_at(address: str | None) -> AbstractContextManager[Engine]:
    """The cluster at an address, or this process without one.

    Args:
        address: `host:port` of a Ray cluster that this machine belongs to, `auto` to find it, or
            `local` for one on this machine that ends with the block.

    Raises:
        ClusterError: Ray is not installed, or there is no such cluster.
    """
    if address is None:
        return nullcontext(LOCAL)
    cluster: AbstractContextManager[Engine] = load("training.cluster.tasks").cluster_at(address)
    return cluster


def load(module: str) -> ModuleType:
    """A module that needs Ray; ClusterError if that is not installed."""
    try:
        return import_module(module)
    except ImportError as error:  # Ray Train's own, which names what it lacks
        raise ClusterError(
            f"--ray needs Ray, which is not installed ({error}): {RAY_EXTRA}"
        ) from error
