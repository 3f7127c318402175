import json
from pathlib import Path

import numpy as np
import psutil
import pytest

from model.artifact.files import ArtifactError, let_go, parse_manifest


def test_a_newer_manifest_is_read_unless_its_number_says_that_it_cannot_be(artifact) -> None:
    fields = json.loads(artifact.manifest.model_dump_json())
    newer = fields | {"colour": "red", "training": fields["training"] | {"colour": "red"}}
    assert parse_manifest(json.dumps(newer), "here") == artifact.manifest
    with pytest.raises(ArtifactError, match="schema_version"):
        parse_manifest(json.dumps(newer | {"schema_version": 5}), "here")


def test_what_is_let_go_takes_no_memory_and_is_read_again(tmp_path: Path) -> None:
    rows = np.arange(10_000_000, dtype=np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    view, process = np.asarray(mapped), psutil.Process()
    assert (view == rows).all()
    before = process.memory_info().rss
    let_go({"mapped": mapped, "in memory": rows})
    assert before - process.memory_info().rss > 0.9 * rows.nbytes
    assert (view == rows).all()
