"""A local ONNX file as an image encoder.

Letters: B pictures of a batch, F width of a vector, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel

from training.encode.encoder import EncoderError
from training.encode.onnx_file import OnnxFile
from training.encode.pixels import Channels, Pixels

_SIDE = 224


class _Preprocessor(BaseModel):
    """What an exporter's `preprocessor_config.json` says; ImageNet's statistics if it is absent."""

    image_mean: Channels = (0.485, 0.456, 0.406)
    image_std: Channels = (0.229, 0.224, 0.225)
    size: dict[str, int] = {}


class OnnxImage:
    """The model's first output; a map of features is averaged over its positions."""

    def __init__(self, path: Path) -> None:
        """Open a model of one input [B, 3, H, W]; EncoderError if it is none."""
        self._model = OnnxFile(path)
        (self._input, shape), *others = self._model.shapes.items()
        if others or len(shape) != 4 or shape[1] not in (3, "num_channels"):
            raise EncoderError(
                f"{path} reads {self._model.shapes}, expected one input [batch, 3, height, width]"
            )
        wanted = _Preprocessor.model_validate(self._model.settings("preprocessor_config.json"))
        height, width = (
            size if isinstance(size, int) else wanted.size.get(side, _SIDE)
            for size, side in zip(shape[2:], ("height", "width"), strict=True)
        )
        self._pixels = Pixels(
            height=height, width=width, mean=wanted.image_mean, std=wanted.image_std
        )
        self.fingerprint = self._model.fingerprint(f"{self._pixels}")

    def encode(self, contents: Sequence[Image]) -> NDArray[np.float32]:
        """One vector for each picture, [B, F]."""
        pixels_B3HW = np.stack([self._pixels.of(image) for image in contents])
        output = self._model.run(self._model.outputs[0], {self._input: pixels_B3HW})
        vector_BF = output.mean(axis=(2, 3)) if output.ndim == 4 else output
        if vector_BF.ndim != 2:
            raise EncoderError(
                f"{self._model.path} gives {list(output.shape)}, expected one vector or one map "
                "of features per picture: export it without other heads"
            )
        return vector_BF
