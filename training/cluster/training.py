"""One training by several processes: those of torchrun, or those that Ray Train starts."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from training.cluster.engine import load
from training.fit.distributed import Processes, joined

Result = TypeVar("Result")


def train_together(
    address: str | None, work: Callable[[Processes], Result], out: Path, device: str
) -> Result:
    """What the leader returns of the processes that train one model.

    Args:
        address: of a Ray cluster, see `engine_at`; None for the processes that torchrun has started
            with this one, of which each gets what its own `work` returns.
        work: is called in each process. If one was lost, Ray starts all of them again: then it goes
            on from its checkpoint.
        out: where it writes. Ray keeps a folder beside it for as long as it works.
        device: where it trains; with another than `cpu`, Ray starts a process for each GPU.

    Raises:
        ClusterError: Ray is not installed, there is no such cluster, or processes were lost again
            and again.
    """
    if address is not None:
        result: Result = load("training.cluster.ray_train").train(address, work, out, device)
        return result
    with joined() as processes:
        return work(processes)
