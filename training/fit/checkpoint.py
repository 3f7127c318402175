"""The checkpoint of a training run, tied to its data and settings; the average of its weights."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from training.data.files import write_durably
from training.errors import ExplainedError


def warmed_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Moving average over about the last quarter of all steps, at most over 1 / (1 - decay).

    Polynomial-decay averaging (arXiv:1212.1824, eta = 2), which forgets the start.
    """

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        warmed = min(decay, (1 + int(steps)) / (4 + int(steps)))
        return torch.lerp(current, averaged, warmed)

    return average


class CheckpointError(ExplainedError):
    """A checkpoint cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that a run needs to continue."""

    fingerprint: str
    """Data checksum and settings; a checkpoint resumes no other run."""
    magnet: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    generator: Tensor
    schedule: dict[str, Any]
    history: list[dict[str, Any]]
    best_epoch: int
    best_state: dict[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a kill leaves the old file or the new one, whole."""
    write_durably(path, partial(torch.save, asdict(checkpoint)))


def load_checkpoint(path: Path, fingerprint: str) -> Checkpoint:
    """Read a checkpoint of the run with this fingerprint.

    Raises:
        CheckpointError: it is damaged, or data or settings have changed since it was written.
    """
    advice = f"delete {path} to start over"
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {advice}") from error
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"checkpoint {path} belongs to other data or settings; {advice}, or use another --out"
        )
    return checkpoint
