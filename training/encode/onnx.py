"""Encoders that are local ONNX files, run by ONNX Runtime on the CPU.

Settings files are looked for beside the model or in the folder above, as exporters write them:
`preprocessor_config.json` for pictures, `tokenizer.json` and `tokenizer_config.json` for texts.

Letters: B contents of a batch, T tokens of the longest text, F width of a vector, H height,
W width.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel
from transformers import AutoTokenizer

from training.encode.contents import Channels, Pixels
from training.encode.encoders import EncoderError, first_line

_SETTINGS = "preprocessor_config.json"
_SIDE = 224
"""Height and width where neither model nor settings say them."""
_MOST_TOKENS = 512
"""Where the tokenizer states no limit: the positions of BERT and most of its descendants."""
_POOLED = "sentence_embedding"
"""The name that sentence-transformers gives to an output of one vector per text."""
_SHORTEST = 1e-12


class OnnxFile:
    """A session, and the settings that lie beside the file or one folder up."""

    def __init__(self, path: Path) -> None:
        """Open a file; EncoderError if it is not a usable model."""
        self.path = path
        try:
            self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's have no class of their own
            raise EncoderError(
                f"{path} is not a usable ONNX model ({first_line(error)})"
            ) from error
        self.shapes: dict[str, list[int | str | None]] = {
            node.name: node.shape for node in self._session.get_inputs()
        }
        """Shape of each input; a size that is not fixed is a name or None."""
        self.outputs: list[str] = [node.name for node in self._session.get_outputs()]

    def setting_file(self, name: str) -> Path | None:
        """A file of this name beside the model or in the folder above, or None."""
        found = [folder / name for folder in (self.path.parent, self.path.parent.parent)]
        return next((path for path in found if path.is_file()), None)

    def fingerprint(self, recipe: str) -> str:
        """SHA-256 of the model, of tensors kept outside it (`model.onnx.data`) and of a recipe."""
        digest = hashlib.sha256(recipe.encode())
        for path in sorted(self.path.parent.iterdir()):
            if path.name.startswith(self.path.name):
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def run(self, output: str, feeds: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """One output for these inputs; EncoderError if the model refuses them."""
        try:
            result = self._session.run([output], dict(feeds))[0]
        except Exception as error:
            raise EncoderError(f"{self.path} refuses its input ({first_line(error)})") from error
        return np.asarray(result, dtype=np.float32)


class _Preprocessor(BaseModel):
    """`preprocessor_config.json`; ImageNet's statistics where it says nothing."""

    image_mean: Channels = (0.485, 0.456, 0.406)
    image_std: Channels = (0.229, 0.224, 0.225)
    crop_size: dict[str, int] = {}
    size: dict[str, int] = {}

    def side(self, name: str) -> int:
        """The height or the width that the model reads."""
        sides = self.crop_size or self.size
        return sides.get(name, sides.get("shortest_edge", _SIDE))


class OnnxImage:
    """Encodes pictures: the model's first output; a feature map is averaged over its positions."""

    def __init__(self, path: Path) -> None:
        """Open a model of one input [B, 3, H, W]; EncoderError if it is none."""
        self._model = OnnxFile(path)
        (self._input, shape), *others = self._model.shapes.items()
        if others or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise EncoderError(
                f"{path} reads {self._model.shapes}, expected one input [batch, 3, height, width]"
            )
        try:
            settings = self._model.setting_file(_SETTINGS)
            wanted = _Preprocessor.model_validate_json(settings.read_text() if settings else "{}")
        except ValueError as error:
            raise EncoderError(
                f"{_SETTINGS} beside {path} cannot be read as JSON with image_mean, image_std and "
                "size: correct or remove it"
            ) from error
        height, width = (
            size if isinstance(size, int) else wanted.side(name)
            for size, name in zip(shape[2:], ("height", "width"), strict=True)
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


class OnnxText:
    """Encodes texts: the pooled output, or else the mean over tokens; of length one."""

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
