"""A local ONNX file as the body of an encoder, run by ONNX Runtime on the CPU.

Knows sessions and the settings files that exporters write beside a model; knows nothing about
text or pictures.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from training.encode.encoder import EncoderError, first_line


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
        """Of each input; a size that is not fixed is a name or None."""
        self.outputs: list[str] = [node.name for node in self._session.get_outputs()]

    def setting_file(self, name: str) -> Path | None:
        """A file of this name beside the model or in the folder above, or None."""
        found = [folder / name for folder in (self.path.parent, self.path.parent.parent)]
        return next((path for path in found if path.is_file()), None)

    def settings(self, name: str) -> dict[str, object]:
        """The content of a JSON settings file; empty if there is none."""
        path = self.setting_file(name)
        return json.loads(path.read_text()) if path else {}

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
