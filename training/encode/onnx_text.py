"""A local ONNX file as a text encoder.

Its folder, or the one above, holds its tokenizer (`tokenizer.json`, `tokenizer_config.json`), as
exporters write it.

Letters: B texts of a batch, T tokens of the longest, F width of a vector.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from training.encode.encoder import EncoderError
from training.encode.onnx_file import OnnxFile

_MOST_TOKENS = 512
"""Where the tokenizer states no limit: the positions of BERT and most of its descendants."""
_SHORTEST = 1e-12
_POOLED = "sentence_embedding"
"""Name that sentence-transformers gives to the output that is already one vector per text."""


class OnnxText:
    """The pooled output if there is one, else the mean over tokens; of length one."""

    def __init__(self, path: Path) -> None:
        """Open a model and its tokenizer; EncoderError if one is missing or unusable."""
        self._model = OnnxFile(path)
        tokenizer_file = self._model.setting_file("tokenizer.json")
        if tokenizer_file is None:
            raise EncoderError(
                f"{path} has no tokenizer: put the model's tokenizer.json and "
                "tokenizer_config.json beside it"
            )
        self._tokenizer = AutoTokenizer.from_pretrained(tokenizer_file.parent)
        self._limit = min(self._tokenizer.model_max_length, _MOST_TOKENS)
        self._output = _POOLED if _POOLED in self._model.outputs else self._model.outputs[0]
        vocabulary = tokenizer_file.read_text()
        self.fingerprint = self._model.fingerprint(f"{self._output} {self._limit} {vocabulary}")

    def encode(self, contents: Sequence[str]) -> NDArray[np.float32]:
        """One vector for each text, [B, F]."""
        tokens = self._tokenizer(
            list(contents),
            padding=True,
            truncation=True,
            max_length=self._limit,
            return_tensors="np",
            return_token_type_ids=True,
        )
        feeds = {name: tokens[name] for name in self._model.shapes if name in tokens}
        output = self._model.run(self._output, feeds)
        vector_BF = output if output.ndim == 2 else _mean(output, tokens["attention_mask"])
        length_B1 = np.linalg.norm(vector_BF, axis=1, keepdims=True).clip(_SHORTEST)
        unit_BF: NDArray[np.float32] = vector_BF / length_B1
        return unit_BF


def _mean(token_BTF: NDArray[np.float32], mask_BT: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean over the tokens that are not padding."""
    weight_BT = mask_BT / mask_BT.sum(axis=1, keepdims=True)
    mean_BF: NDArray[np.float32] = np.einsum("btf,bt->bf", token_BTF, weight_BT.astype(np.float32))
    return mean_BF
