"""From a picture to the numbers that an image network reads.

Knows resizing and normalisation; knows nothing about files or networks.

Letters: H height, W width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """How one network wants its pictures; mean and std per channel are of values from 0 to 1.

    The whole picture is brought to the network's size, whatever its proportions: a crop at the
    centre, as for classification, would cut off what stands at the edges of a poster or a product.
    """

    height: int
    width: int
    mean: Channels
    std: Channels

    def of(self, image: Image.Image) -> NDArray[np.float32]:
        """The normalised pixels of an RGB picture, [3, H, W]."""
        fitted = image.resize((self.width, self.height), Image.Resampling.BICUBIC)
        share_HWC = np.asarray(fitted, dtype=np.float32) / np.float32(255)
        mean_C, std_C = (np.array(row, dtype=np.float32) for row in (self.mean, self.std))
        scaled_HWC = (share_HWC - mean_C) / std_C
        return np.ascontiguousarray(scaled_HWC.transpose(2, 0, 1))
