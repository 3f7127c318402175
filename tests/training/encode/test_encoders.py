"""The default encoders with their real weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from training.encode.encoders import (
    DEFAULT_IMAGES,
    DEFAULT_TEXT,
    Encoder,
    EncoderError,
    image_encoder,
    text_encoder,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts() -> Encoder[str]:
    return text_encoder(DEFAULT_TEXT, "cpu")


@pytest.fixture(scope="module")
def images() -> Encoder[Image.Image]:
    return image_encoder(DEFAULT_IMAGES, "cpu")


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_texts_of_like_meaning_lie_close(texts: Encoder[str]) -> None:
    vectors = texts.encode(
        [
            "A detective hunts a murderer through the city.",
            "The police look for a killer.",
            "Toys come alive when children are asleep.",
        ]
    )
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    close = cosines(vectors)
    assert close[0, 1] > 0.4 > 0.2 > max(close[0, 2], close[1, 2])


def test_a_text_does_not_depend_on_its_batch(texts: Encoder[str]) -> None:
    together = texts.encode(["Tea.", "A much longer text about wool. " * 20])
    np.testing.assert_allclose(together[:1], texts.encode(["Tea."]), atol=1e-5)


def test_pictures_of_like_things_lie_close(images: Encoder[Image.Image]) -> None:
    flower, palace = (Image.fromarray(load_sample_image(f"{x}.jpg")) for x in ("flower", "china"))
    part = flower.crop((80, 40, 560, 400)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    vectors = images.encode([flower, part, palace])
    assert vectors.shape == (3, 1280)
    close = cosines(vectors)
    assert close[0, 1] > 2 * max(close[0, 2], close[1, 2])


def test_a_picture_does_not_depend_on_its_batch(images: Encoder[Image.Image]) -> None:
    flower, palace = (Image.fromarray(load_sample_image(f"{x}.jpg")) for x in ("flower", "china"))
    together = images.encode([flower, palace])
    np.testing.assert_allclose(together[1:], images.encode([palace]), atol=1e-4)


def test_fingerprints_are_those_of_the_weights(texts: Encoder[str]) -> None:
    assert text_encoder(DEFAULT_TEXT, "cpu").fingerprint == texts.fingerprint


def test_a_folder_that_is_no_model_says_what_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"cannot be loaded.*needs a network.*\.onnx"):
        text_encoder(str(tmp_path), "cpu")


def test_a_timm_folder_gives_pooled_features(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    network = timm.create_model("resnet10t", pretrained=False).eval()
    timm.models.save_for_hf(network, tmp_path)
    vectors = image_encoder(str(tmp_path), "cpu").encode([Image.new("RGB", (9, 9), "white")])
    mean, std = (np.array(network.pretrained_cfg[name]) for name in ("mean", "std"))
    _, height, width = network.pretrained_cfg["input_size"]
    white = torch.tensor((1 - mean) / std, dtype=torch.float32)[None, :, None, None]
    with torch.inference_mode():
        features = network.forward_features(white.expand(1, 3, height, width))
    np.testing.assert_allclose(vectors, features.mean((2, 3)), atol=1e-5)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "training.encode.networks", raising=False)
    with pytest.raises(EncoderError, match=r"timm.*pip install timm"):
        image_encoder("resnet50.a1_in1k", "cpu")
