"""The artifact: a folder with `manifest.json`, one `.npy` per tensor, and the ONNX files.

Also how a data folder names the pictures of its items.
"""

import mmap
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.artifact.manifest import ArtifactManifest, little_endian, sha256

MANIFEST = "manifest.json"
PICTURE_FOLDER = "images"
"""Folder in the data folder with a picture per item, named after its id."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_AT_ONCE = 2
"""Arrays that are verified: more would take the processors from whoever else starts."""
_WEB_ADDRESS = re.compile(r"(https?:)?//[^/\\\s]", re.IGNORECASE)


def is_web_address(name: str) -> bool:
    """Whether a picture's name is an address that browsers load; without a scheme, by https."""
    return _WEB_ADDRESS.match(name) is not None


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures of a folder, by name without suffix; none if there is no such folder."""
    return {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES}


def file_stem(item_id: str) -> str:
    """The item's id as a file name: what cannot stand in one is percent-encoded (`a%2Fb`)."""
    return quote(item_id, safe=" !#$&'()+,;=@[]{}~^")


class ArtifactError(ValueError):
    """An artifact is missing, incomplete or damaged; the message says which part and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One model version in memory (or memory-mapped): the manifest and what it names."""

    manifest: ArtifactManifest
    tensors: Mapping[str, NDArray[Any]]
    files: Mapping[str, bytes]


def check_tensor(name: str, array: NDArray[Any], manifest: ArtifactManifest) -> None:
    """Raise ArtifactError unless `array` is exactly what the manifest says it is."""
    spec = manifest.tensors[name]
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise ArtifactError(
            f"tensor {name!r} is {array.dtype}{list(array.shape)}, "
            f"the manifest says {spec.dtype}{list(spec.shape)}"
        )
    if sha256(array) != spec.sha256:
        raise ArtifactError(f"tensor {name!r} is damaged: its checksum differs from the manifest's")


def check_tensors(tensors: Mapping[str, NDArray[Any]], manifest: ArtifactManifest) -> None:
    """`check_tensor` of several, two at a time: reading and hashing need no lock of Python's."""
    largest_first = sorted(tensors, key=lambda name: -tensors[name].nbytes)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(
            lambda name: check_tensor(name, tensors[name], manifest), largest_first
        ):
            pass


def let_go(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Take what is mapped from disk out of this process's memory; it comes back as it is read.

    Verifying an artifact reads all of it, and serving it a part. The system would take the rest
    back once it needs the room, but until then it looks like memory that the process needs.
    """
    for array in tensors.values():
        if isinstance(array.base, mmap.mmap):
            array.base.madvise(mmap.MADV_DONTNEED)


def check_file(name: str, data: bytes, manifest: ArtifactManifest) -> None:
    """Raise ArtifactError unless `data` is exactly the file the manifest describes."""
    if sha256(data) != manifest.files[name].sha256:
        raise ArtifactError(f"file {name!r} is damaged: its checksum differs from the manifest's")


def parse_manifest(text: str | bytes, where: str) -> ArtifactManifest:
    """Read a manifest; ArtifactError names the first fault and `where` it was found."""
    try:
        return ArtifactManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        remedy = "; made by another release: train and publish it again"
        raise ArtifactError(
            f"{where}: {place}: {first['msg']}{remedy if place == 'schema_version' else ''}"
        ) from error


def read_artifact(folder: Path) -> Artifact:
    """Open an artifact folder, tensors memory-mapped, every checksum verified.

    Raises:
        ArtifactError: something is missing or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(
            f"{folder} is not an artifact: it has no {MANIFEST} "
            "(make one with `magnet fit --data DIR --out ARTIFACT`)"
        )
    manifest = parse_manifest(path.read_bytes(), str(path))
    tensors: dict[str, NDArray[Any]] = {}
    files: dict[str, bytes] = {}
    try:
        for name in manifest.tensors:
            tensors[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        check_tensors(tensors, manifest)
        for name in manifest.files:
            files[name] = (folder / name).read_bytes()
            check_file(name, files[name], manifest)
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}; export it again") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{folder} is incomplete or damaged: {error}; export it again"
        ) from error
    return Artifact(manifest=manifest, tensors=tensors, files=files)


def write_artifact(folder: Path, artifact: Artifact) -> None:
    """Write into an existing folder; the manifest comes last, so a torn write is never readable."""
    for name, array in artifact.tensors.items():
        np.save(folder / f"{name}.npy", little_endian(array), allow_pickle=False)
    for name, data in artifact.files.items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_text(artifact.manifest.model_dump_json(indent=1) + "\n")
