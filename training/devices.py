"""Which device a process computes on.

Knows torch's names of devices and a process's place on its machine; knows nothing about models.
"""

import torch

from training.explained import ExplainedError
from training.processes import ALONE, Processes


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
