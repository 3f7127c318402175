"""New items for a grown model, and the item encoder that it makes vectors of them with.

Letters: I items, F width of features, M modalities, T terms.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from model.artifact.build import Tensors
from model.artifact.files import Artifact
from model.artifact.manifest import ITEM_ENCODER, FileSpec, TensorSpec
from model.network.config import MagnetConfig
from model.network.magnet import Magnet
from training.data.features import ModalityFeatures, Standardisation, TermWeights
from training.export.item_encoder import content_keys, item_encoder_graph, text_encoder_tensors

_WIDTH = 128
_TERMS = 5_000
_WORDS = 20
"""Words of a description; a title has four."""
_NOISE = 0.5


def with_item_encoder(artifact: Artifact, seed: int) -> Artifact:
    """A grown model that encodes new items, by features and by texts; its encoders know nothing."""
    rng = np.random.default_rng(seed)
    tensors, modalities = artifact.tensors, artifact.manifest.modalities
    features = [
        _features(tensors["item_embeddings"][:, 0, m], rng) for m in range(1, len(modalities))
    ]
    standards = [Standardisation.of(x) for x in features]
    magnet = Magnet(
        MagnetConfig(modalities=tuple(modalities)),
        features=[torch.from_numpy(f(x)) for f, x in zip(standards, features, strict=True)],
        popularity_I=torch.from_numpy(tensors["item_popularity"].copy()),
        trust_U=torch.zeros(1),
        generator=torch.Generator().manual_seed(seed),
    )
    magnet.cold_offset.fill_(float(tensors["item_bias"].min()))
    made_with = TermWeights(
        terms=[_term(number) for number in range(_TERMS)],
        idf_T=1 + rng.random(_TERMS),
        axis_TF=rng.standard_normal((_TERMS, _WIDTH)) / np.sqrt(_WIDTH),
    )
    added: Tensors = {
        "item_content": content_keys(magnet),
        "item_lengths": np.ones((len(tensors["item_bias"]), len(modalities)), dtype=np.float32),
        **text_encoder_tensors({"text": replace(features[0], made_with=made_with)}),
    }
    files = {**artifact.files, ITEM_ENCODER: item_encoder_graph(magnet, standards)}
    specs = {name: TensorSpec.of(array) for name, array in added.items()}
    manifest = artifact.manifest.model_copy(
        update={
            "tensors": artifact.manifest.tensors | specs,
            "files": {name: FileSpec.of(data) for name, data in files.items()},
        }
    )
    return Artifact(manifest=manifest, tensors={**tensors, **added}, files=files)


def new_items(first: int, count: int, *, features: Sequence[str], seed: int) -> list[bytes]:
    """Lines of `/v1/items:bulk`: items with texts, and with features of some modalities."""
    rng = np.random.default_rng([seed, first])
    lines = []
    for number in range(first, first + count):
        words = [_term(term) for term in (_TERMS * rng.random(4 + _WORDS) ** 3).astype(int)]
        item: dict[str, Any] = {
            "item_id": f"n{number:07d}",
            "title": " ".join(words[:4]),
            "description": " ".join(words[4:]),
            "categories": [f"c{number % 10}"],
            "attributes": {"price": number % 100 + 0.5, "brand": f"b{number % 50}"},
        }
        if features:
            given = {name: rng.standard_normal(_WIDTH).round(4).tolist() for name in features}
            item["features"] = given
        lines.append(json.dumps(item).encode())
    return lines


def _features(rows_ID: Any, rng: np.random.Generator) -> ModalityFeatures:
    """Features of items: their embeddings, rotated, with some noise."""
    turn_DF = rng.standard_normal((rows_ID.shape[1], _WIDTH)) / np.sqrt(_WIDTH)
    x_IF = rows_ID @ turn_DF
    x_IF += _NOISE * x_IF.std() * rng.standard_normal(x_IF.shape)
    return ModalityFeatures(
        x_IF=x_IF.astype(np.float32), present_I=np.ones(len(x_IF), dtype=np.bool_)
    )


def _term(number: int) -> str:
    return f"w{number:05d}"
