"""Text encoders of the sentence-transformers library, by hub name or from a folder.

Pooling, normalisation and length limit are those that the model's own files ask for.

Letters: B texts of a batch, F width of a vector.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from training.encode.encoder import EncoderError, first_line, weights_fingerprint


class SentenceNetwork:
    """A sentence-transformers model on one device."""

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
