"""What every encoder is: contents in, one vector each out, and a fingerprint for caching.

Knows nothing about any encoder in particular.

Letters: B contents of a batch, F width of a vector.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from training.explained import ExplainedError

T_contra = TypeVar("T_contra", contravariant=True)


class EncoderError(ExplainedError):
    """An encoder cannot be had or used; the message says why and what to do."""


class Encoder(Protocol[T_contra]):
    """A pretrained network that is used as it is."""

    fingerprint: str
    """Of weights and preprocessing: encoders that share it give equal vectors."""

    def encode(self, contents: Sequence[T_contra]) -> NDArray[np.float32]:
        """One vector for each content, [B, F]."""
        ...


def weights_fingerprint(network: torch.nn.Module, recipe: str) -> str:
    """SHA-256 over names, shapes and values of a network's state, and a recipe in words."""
    digest = hashlib.sha256(recipe.encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """The gist of a library's error, for a message of one line."""
    return str(error).strip().partition("\n")[0]
