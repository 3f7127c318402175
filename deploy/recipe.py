"""What an artifact was made from, so that a second run knows whether it still stands.

Knows files and arguments; knows nothing about training. The recipe lies beside the artifact and
is written after it, naming its version: a half-made artifact has none, or another's.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from model.contract.artifact import Artifact, ArtifactError, read_artifact


class Recipe(BaseModel):
    """Data and options of one training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_sha256: str
    """Over the names and contents of the data folder's files."""
    arguments: tuple[str, ...]
    """Options of `python -m training fit` besides the folders."""

    @classmethod
    def of(cls, data: Path, arguments: tuple[str, ...]) -> "Recipe":
        """The recipe that `data` and `arguments` make now."""
        digest = hashlib.sha256()
        for file in sorted(path for path in data.rglob("*") if path.is_file()):
            with file.open("rb") as content:
                checksum = hashlib.file_digest(content, "sha256").hexdigest()
            digest.update(f"{file.relative_to(data).as_posix()}\0{checksum}\n".encode())
        return cls(data_sha256=digest.hexdigest(), arguments=arguments)


class _MadeFrom(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    recipe: Recipe


def record(recipe: Recipe, artifact: Artifact, at: Path) -> None:
    """Write down at `at` that `artifact` was made from `recipe`."""
    made = _MadeFrom(model_version=artifact.manifest.model_version, recipe=recipe)
    at.write_text(made.model_dump_json(indent=1) + "\n")


def reusable(folder: Path, recipe: Recipe, at: Path) -> tuple[Artifact | None, str]:
    """The whole artifact in `folder` if it was made from `recipe`; else None and why not."""
    if not folder.exists():
        return None, "there is no model yet"
    try:
        artifact = read_artifact(folder)
        made = _MadeFrom.model_validate_json(at.read_bytes())
    except ArtifactError as error:
        return None, str(error)
    except (OSError, ValidationError):
        return None, "it is not known what the model there was made from"
    if made.model_version != artifact.manifest.model_version:
        return None, "it is not known what the model there was made from"
    if made.recipe.data_sha256 != recipe.data_sha256:
        return None, "the data have changed"
    if made.recipe.arguments != recipe.arguments:
        return None, f"its options were {' '.join(made.recipe.arguments) or 'the defaults'}"
    return artifact, ""
