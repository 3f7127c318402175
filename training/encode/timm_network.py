"""Image encoders of the timm library, by name (`resnet50.a1_in1k`) or from a local folder.

Size and normalisation are those of the model's own settings.

Letters: B pictures of a batch, F width of a vector, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from training.encode.encoder import EncoderError, first_line, weights_fingerprint
from training.encode.pixels import Pixels


class TimmNetwork:
    """A timm model without its classifier: its pooled penultimate features."""

    def __init__(self, name: str, device: str) -> None:
        """Load a model by its name or folder; EncoderError if there is none."""
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
        self._device = device
        self._network = network.eval().to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, contents: Sequence[Image]) -> NDArray[np.float32]:
        """One vector for each picture, [B, F]."""
        pixels_B3HW = torch.from_numpy(np.stack([self._pixels.of(image) for image in contents]))
        pixels_B3HW = pixels_B3HW.to(self._device, memory_format=torch.channels_last)
        vector_BF: NDArray[np.float32] = self._network(pixels_B3HW).float().cpu().numpy()
        return vector_BF
