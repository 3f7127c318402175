"""The processes that train one model together, as torchrun starts them; usually there is one.

Knows ranks and collective operations; knows nothing about models or data. Letters: N values of this
process.
"""

# FOLDED training/fit/distributed.py: Keeps the C library from handing big buffers back to the system after every training step.
#
#   Knows glibc's allocator only; elsewhere it does nothing.
#
# FOLDED training/fit/distributed.py: Which device a process computes on.
#
#   Knows torch's names of devices and a process's place on its machine; knows nothing about models.
#
# FOLDED training/fit/distributed.py: How many threads torch computes with.
#
#   Knows the machine; knows nothing about what is computed.
#

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from training.errors import ExplainedError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 2**25  # HEAP_MAX_SIZE / 2, the most that glibc takes
_TOP_PAD_BYTES = 2**26


def reuse_large_buffers() -> None:
    """Let freed tensors be used again instead of mapping and zeroing fresh pages for each.

    A step's tensors of tens of MB are otherwise mapped anew by the kernel each time, and zeroing
    their pages takes a good part of the step.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


Value = TypeVar("Value")


class ProcessesError(ExplainedError):
    """Processes cannot work together; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """One process's place among `count`, and what it does together with the others.

    Every process makes the same calls in the same order. Alone, each call returns what it was
    given.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Place among the processes of the same machine."""

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and speaks to people."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some rows; together the parts are the rows."""
        return rows[self.rank :: self.count]

    def equal_share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same, filled up from the first rows so that all parts have one length.

        The mean of the parts' means is then the rows' mean, but for the rows taken twice.
        """
        return self.share(np.resize(rows, -(-len(rows) // self.count) * self.count))

    def mean(self, x: Tensor) -> Tensor:
        """Mean over processes, equal to the last bit on all; a gradient goes to this one's `x`.

        The mean over processes of the gradients taken through it is the gradient of the mean.
        """
        if self.count == 1:
            return x
        return self._sum(x.detach()) / self.count + (x - x.detach())

    def pooled_mean(self, value_N: NDArray[np.float64]) -> float:
        """Mean of all processes' values, of which each may have a different number."""
        if self.count == 1:
            return float(value_N.mean())
        total, number = self._sum(
            torch.tensor([value_N.sum(), len(value_N)], dtype=torch.float64)
        ).tolist()
        return float(total / number)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [x.grad for x in parameters if x.grad is not None]
        mean = self._sum(torch.cat([x.flatten() for x in gradients])) / self.count
        parts = mean.split([x.numel() for x in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def copy_from_leader(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the leader's: equal seeds need not mean equal bits elsewhere."""
        if self.count > 1:
            with _all_there(), torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def from_leader(self, value: Value) -> Value:
        """What the leader called this with."""
        if self.count == 1:
            return value
        box = [value]
        with _all_there():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def require_equal(self, value: object, what: str) -> None:
        """Raise ProcessesError in every process whose value is not the leader's."""
        if self.from_leader(value) != value:
            raise ProcessesError(
                f"process {self.rank} has other {what} than process 0: start all processes with "
                "the same command on the same files"
            )

    def _sum(self, x: Tensor) -> Tensor:
        total = x.clone()
        with _all_there():
            dist.all_reduce(total)
        return total


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started; without it, this one is alone.

    An error ends all processes, and the first one to fail is the only one to say why: where it
    leaves this context, the error goes on in that process and is a silent exit in every other.
    """
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    store, rank, count = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Processes(rank=rank, count=count, local_rank=int(os.environ["LOCAL_RANK"]))
    except BaseException as error:
        if store.add("failed", 1) > 1:
            raise SystemExit(1) from error
        raise
    dist.destroy_process_group()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessesError(
            "another process of this run ended or cannot be reached, so nothing more can be "
            f"trained ({str(error).splitlines()[0]})"
        ) from error


class DeviceError(ExplainedError):
    """The wanted device cannot be had; the message says why and what to use."""


def choose_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device that is called `auto`, `cpu`, `cuda` or `cuda:N`.

    Of several processes on a machine each gets a GPU of its own.

    Raises:
        DeviceError: there is none of that name, or not one for each process.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r} is unknown: use auto, cpu, cuda or cuda:N") from error
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name!r} was asked for, but CUDA is not available: use cpu")
    return device if processes.count == 1 else _own_gpu(device, processes)


def block_rows(device: torch.device) -> int:
    """Most rows, and most columns, of a matrix of pairs that is computed at once.

    A small block's tensors stay in a processor's cache. A GPU has no such need, and each block
    costs it the launch of some hundred kernels.
    """
    return 256 if device.type == "cpu" else 4096


def _own_gpu(wanted: torch.device, processes: Processes) -> torch.device:
    if wanted.index is not None:
        raise DeviceError(
            f"device {str(wanted)!r} is one GPU for {processes.count} processes: use cuda, which "
            "gives each its own"
        )
    found = torch.cuda.device_count()
    if processes.local_rank >= found:
        raise DeviceError(
            f"this machine has fewer GPUs ({found}) than processes: lower --nproc-per-node, or use "
            "cpu"
        )
    return torch.device("cuda", processes.local_rank)


def leave_room() -> None:
    """Compute on half of the cores unless OMP_NUM_THREADS says otherwise.

    The tensors of a step are small: more threads gain little, and on a busy machine they wait for
    each other at every operation, which can make an epoch ten times as long.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
