"""Outcomes kept in a folder, so that no model need be tuned or trained again.

Knows that an outcome is its ranked lists and its costs; knows nothing about how it came about. An
outcome is found again only by the same data, seeds, settings and source code; metrics are computed
afresh from the lists.

Letters: S seeds, U users with test positives, K length of the ranked list.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.baselines import CATALOGUE, ClosedForm
from training.benchmark.outcome import Outcome
from training.benchmark.sources import sources_digest
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import measure

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
        about = {
            "settings": outcome.settings,
            "fit_seconds": outcome.fit_seconds,
            "seconds_per_epoch": outcome.seconds_per_epoch,
            "peak_rss_mb": outcome.peak_rss_mb,
            "notes": outcome.notes,
        }
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
    grid = CATALOGUE[name].grid
    relevant_seeds = [] if isinstance(grid[0], ClosedForm) else list(seeds)
    wanted = [dataset.sha256, relevant_seeds, tuning_seconds, repr(grid)]
    return _key(name, wanted, "training.baselines")


def magnet_key(variant: str, dataset: Dataset, config: TrainingConfig) -> str:
    """A file name that differs whenever MAGNET's outcome with these settings may.

    Args:
        variant: what has been made of the data set's content.
        dataset: the whole one.
        config: of one run, its seed included; on which device it trains makes no difference.
    """
    wanted = [dataset.sha256, config.model_dump(exclude={"device"})]
    return _key(variant, wanted, "training.trainer")


def _key(name: str, wanted: Sequence[object], module: str) -> str:
    code = [*wanted, sources_digest(module)]
    return f"{name}-{hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]}"
