"""Takes users who are to be forgotten out of what a retraining keeps on disk.

Every file is replaced whole or not at all, and a user who is gone already changes nothing. So an
erasure that was killed is simply done again.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.erasure import REWRITTEN, blank, manifest_without, rows_of, spans_of
from model.artifact.files import MANIFEST, ArtifactError, parse_manifest
from model.artifact.manifest import sha256
from model.artifact.tables import IdTable
from training.data.files import write_durably
from training.data.interactions import USER_COLUMNS
from training.data.tables import writing
from training.retrain.live_model import SavedWeights, WeightsError
from training.retrain.report import render
from training.retrain.runs import RunFolder, Runs

_TABLES = ("*.inter", "*.user")
"""Files of a data folder that may name users."""


def erase_from_data(folder: Path, user_ids: Collection[str]) -> None:
    """Remove users' lines from the tables of a data folder.

    Raises:
        DataError: a file cannot be written.
    """
    erased = {user_id.encode() for user_id in user_ids}
    for pattern in _TABLES:
        for path in sorted(folder.glob(pattern)):
            with writing(path, "give the retraining the right to write there"):
                _remove_lines(path, erased)


def _remove_lines(path: Path, erased: Collection[bytes]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    header = lines[0].decode("utf-8-sig", errors="replace") if lines else ""
    names = [name.partition(":")[0].strip() for name in header.split("\t")]
    column = next((names.index(name) for name in USER_COLUMNS if name in names), None)
    if column is None:
        return

    def user(line: bytes) -> bytes:
        fields = line.rstrip(b"\r\n").split(b"\t")
        return fields[column] if column < len(fields) else b""

    kept = [lines[0], *(line for line in lines[1:] if user(line) not in erased)]
    if len(kept) < len(lines):
        write_durably(path, lambda fresh: fresh.write_bytes(b"".join(kept)))


def erase_from_runs(runs: Runs, user_ids: Collection[str], erasures: int) -> None:
    """Take users out of the models, weights and reports of all runs.

    Args:
        runs: all that are kept.
        user_ids: whom.
        erasures: the number of the latest erasure that this is done for.
    """
    for folder, _ in runs.newest_first():
        erase_from_artifact(folder.artifact, user_ids, erasures)
        _erase_from_weights(folder.weights, user_ids)
        _erase_from_record(folder, user_ids)


def erase_from_artifact(folder: Path, user_ids: Collection[str], erasures: int) -> None:
    """Take users out of a model; one that is damaged or not there is left alone."""
    path = folder / MANIFEST
    try:
        manifest = parse_manifest(path.read_bytes(), str(path))
        names = ("user_ids_blob", "user_ids_offsets", "seen_offsets")
        tensors = {name: np.load(folder / f"{name}.npy") for name in names}
    except (ArtifactError, OSError, ValueError):
        return
    blob, offsets = tensors["user_ids_blob"], tensors["user_ids_offsets"]
    rows = rows_of(IdTable(blob, offsets), user_ids)
    if not rows and sha256(blob) == manifest.tensors["user_ids_blob"].sha256:
        return
    spans, digests = spans_of(rows, tensors), {}
    for name in REWRITTEN:
        fresh = blank(name, np.load(folder / f"{name}.npy", mmap_mode="r"), spans[name])
        digests[name] = sha256(fresh)
        if rows:
            write_durably(folder / f"{name}.npy", partial(_save, fresh))
        if name == "user_ids_blob":
            blob = fresh
    after = manifest_without(manifest, IdTable(blob, offsets), digests, erasures)
    text = after.model_dump_json(indent=1) + "\n"
    write_durably(path, lambda fresh: fresh.write_text(text))


def _save(array: NDArray[Any], path: Path) -> None:
    with path.open("wb") as out:  # np.save appends .npy to a path
        np.save(out, array, allow_pickle=False)


def _erase_from_weights(path: Path, user_ids: Collection[str]) -> None:
    try:
        weights = SavedWeights.load(path)
    except WeightsError:
        return
    if without := weights.without(user_ids):
        without.save(path)


def _erase_from_record(folder: RunFolder, user_ids: Collection[str]) -> None:
    record = folder.read()
    if record is None or not {
        *record.capped_users,
        *(x.user_id for x in record.changed),
    }.intersection(user_ids):
        return
    record.capped_users = {x: n for x, n in record.capped_users.items() if x not in user_ids}
    record.changed = [each for each in record.changed if each.user_id not in user_ids]
    page = render(record)
    write_durably(folder.report, lambda path: path.write_text(page, encoding="utf-8"))
    folder.write(record)  # last: it says whether the report has to be made again
