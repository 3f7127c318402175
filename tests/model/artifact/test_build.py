import re

import numpy as np
import pytest
from pydantic import ValidationError

from model.artifact.build import build_artifact, with_tables
from model.artifact.files import Artifact, read_artifact, write_artifact


def facts_of(artifact: Artifact) -> dict:
    names = (
        *("views", "modalities", "experts", "gate_threshold", "recency_power"),
        *("golden", "metrics", "training"),
    )
    return {name: getattr(artifact.manifest, name) for name in names}


def test_what_is_built_can_be_written_and_read(artifact, tmp_path) -> None:
    built = build_artifact(artifact.tensors, artifact.files, **facts_of(artifact))
    write_artifact(tmp_path, built)
    again = read_artifact(tmp_path).manifest
    assert again == built.manifest
    assert again.tensors == artifact.manifest.tensors
    assert (again.num_users, again.num_items, again.embedding_dim) == (30, 80, 8)


def test_each_model_made_has_a_name_of_its_own_that_tells_when(artifact) -> None:
    facts = facts_of(artifact)
    names = [
        build_artifact(artifact.tensors, artifact.files, **facts).manifest.model_version
        for _ in range(10)
    ]
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", name) for name in names)
    assert len({name.partition("-")[2] for name in names}) == len(names)
    named = build_artifact(artifact.tensors, artifact.files, **facts, model_version="v7").manifest
    assert named.model_version == "v7"


def test_a_tensor_of_another_shape_is_no_artifact(artifact) -> None:
    short = artifact.tensors | {"item_bias": artifact.tensors["item_bias"][1:]}
    with pytest.raises(ValidationError, match="tensor 'item_bias' is"):
        build_artifact(short, artifact.files, **facts_of(artifact))


def test_arrays_travel_little_endian_and_ids_sorted() -> None:
    tables = {"user_ids": ["a", "b"], "item_ids": ["x"], "item_metadata": ["{}"]}
    tensors = with_tables({"item_bias": np.ones(1, dtype=">f4")}, **tables)
    assert tensors["item_bias"].dtype.str == "<f4"
    assert tensors["user_ids_offsets"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="distinct and sorted"):
        with_tables({}, **(tables | {"user_ids": ["b", "a"]}))
