"""Outcomes kept in a folder, so that no model need be tuned or trained again.

An outcome is kept as its ranked lists and its costs, under a key of the data, the seeds, the
settings and the source code that made it. Metrics are computed afresh from the lists.

Letters: S seeds, U users with test positives, K length of the ranked list.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm
from training.evaluate.protocol import measure
from training.experiments.baselines.registry import BASELINES
from training.experiments.benchmark.outcome import Outcome
from training.fit.config import TrainingConfig

_ROOT = Path(__file__).parents[3]
_PACKAGES = ("model", "training")
_REUSED = "figures of an earlier run with the same data, settings and seeds"


@dataclass(frozen=True, slots=True)
class OutcomeCache:
    """One file per outcome."""

    folder: Path

    def load(self, key: str, dataset: Dataset, *, mask_validation: bool) -> Outcome | None:
        """The outcome kept under a key of `baseline_key` or `magnet_key`, or None.

        Where validation is to be masked too, one that was kept without such lists is of no use.
        """
        path = self._path(key)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as kept:
            top_SUK, about = kept["top_SUK"].astype(np.int64), json.loads(str(kept["about"]))
            if mask_validation and "masked_SUK" not in kept:
                return None
            masked_SUK = kept["masked_SUK"].astype(np.int64) if mask_validation else None
        about["notes"] = (*about["notes"], _REUSED)
        tests = tuple(
            measure(
                top_UK,
                dataset,
                dataset.test,
                masked_top_UK=None if masked_SUK is None else masked_SUK[seed],
            )
            for seed, top_UK in enumerate(top_SUK)
        )
        return Outcome(tests=tests, **about)

    def save(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome; a kill leaves no damaged file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {x.name: getattr(outcome, x.name) for x in fields(outcome) if x.name != "tests"}
        lists: dict[str, Any] = {
            "about": json.dumps(about),
            "top_SUK": np.stack([test.top_UK for test in outcome.tests]).astype(np.int32),
        }
        masked = [test.masked_top_UK for test in outcome.tests if test.masked_top_UK is not None]
        if masked:
            lists["masked_SUK"] = np.stack(masked).astype(np.int32)
        partial = self._path(key).with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, **lists)
        partial.replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def baseline_key(name: str, dataset: Dataset, seeds: Sequence[int], tuning_seconds: float) -> str:
    """A file name that differs whenever the baseline's outcome may."""
    grid = BASELINES[name].grid
    relevant_seeds = [] if isinstance(grid[0], ClosedForm) else list(seeds)
    wanted = [dataset.sha256, relevant_seeds, tuning_seconds, repr(grid)]
    return _key(name, wanted, "training.experiments.baselines.registry")


def magnet_key(variant: str, dataset: Dataset, config: TrainingConfig) -> str:
    """A file name that differs whenever MAGNET's outcome may, on whichever device it trains.

    The variant says what has been made of the content of the data set, which is the whole one. The
    config is of one run, its seed included.
    """
    wanted = [dataset.sha256, config.model_dump(exclude={"device"})]
    return _key(variant, wanted, "training.fit.final_model")


def _key(name: str, wanted: Sequence[object], module: str) -> str:
    code = [*wanted, sources_digest(module)]
    return f"{name}-{hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]}"


def sources_digest(*modules: str) -> str:
    """A checksum that changes whenever code does that one of the modules runs."""
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in found or path is None:
            continue
        found[name] = path.read_bytes()
        waiting += _imports(ast.parse(found[name]))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode())
        digest.update(found[name])
    return digest.hexdigest()


def _imports(tree: ast.Module) -> Iterable[str]:
    """Names that may be modules of ours; what is imported from one may be one too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] not in _PACKAGES:
        return None
    plain = _ROOT.joinpath(*parts).with_suffix(".py")
    package = _ROOT.joinpath(*parts, "__init__.py")
    return next((path for path in (plain, package) if path.is_file()), None)
