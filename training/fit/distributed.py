"""The processes that train one model together, as torchrun starts them; usually there is one.

Also the device, threads and memory of a process. Letters: N values of this process.
"""

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

Value = TypeVar("Value")

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 2**25  # HEAP_MAX_SIZE / 2, the most that glibc takes
_TOP_PAD_BYTES = 2**26


def reuse_large_buffers() -> None:
    """Keep freed tensors' memory in the process for the next ones (glibc only).

    The kernel would otherwise map tensors of tens of MB anew in every step, and zeroing their pages
    takes a good part of it.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


def return_buffers() -> None:
    """Give back what `reuse_large_buffers` has kept and nobody uses (glibc only).

    Larger tensors than a step's would not fit into it, and come on top.
    """
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


class ProcessesError(ExplainedError):
    """Processes cannot train together; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """One process's place among `count`, and its exchanges with the others.

    Every process makes the same calls in the same order. With one process, each call returns its
    argument.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Place among the processes of the same machine."""

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and messages."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some rows; together the parts are the rows."""
        return rows[self.rank :: self.count]

    def equal_share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part, all parts filled up from the first rows to one length.

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
        """Overwrite tensors with the leader's: equal seeds need not give equal bits elsewhere."""
        if self.count > 1:
            with _all_there(), torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def from_leader(self, value: Value) -> Value:
        """The leader's value."""
        if self.count == 1:
            return value
        box = [value]
        with _all_there():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def require_equal(self, value: object, what: str) -> None:
        """Raise ProcessesError if the value is not the leader's."""
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
    """Join the processes that torchrun started; without torchrun there is one.

    An error ends all processes, and only the first one to fail says why: it raises the error, every
    other exits silently.
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
    """The wanted device is not available; the message says why and what to use."""


def choose_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `cuda:N`.

    Each of several processes on a machine gets a GPU of its own.

    Raises:
        DeviceError: no device has that name, or there is not one for each process.
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

    A small block's tensors stay in a CPU's cache. A GPU does not need that, and each block costs it
    the launch of some hundred kernels.
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
    """Let torch compute on half of the cores unless OMP_NUM_THREADS says otherwise.

    The tensors of a step are small. More threads gain little, and on a busy machine they wait for
    each other at every operation, which can make an epoch ten times as long.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
