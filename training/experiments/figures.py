"""Figures over seeds, and the lead of one model over another with its interval.

Letters: U users with test positives, S seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from training.evaluate.protocol import Evaluation, paired_bootstrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One model minus another on one figure, with the 95 % interval of the difference."""

    mean: float
    low: float
    high: float

    @classmethod
    def between(cls, one_U: NDArray[np.float64], other_U: NDArray[np.float64]) -> "Lead":
        """One minus the other, users resampled in pairs; all values are finite."""
        average, low, high = paired_bootstrap(one_U, other_U, seed=0)
        return cls(mean=average, low=low, high=high)

    @property
    def verdict(self) -> str:
        """`ahead` or `behind` if the difference is significant (95 %), else `tie`."""
        if self.low > 0:
            return "ahead"
        return "behind" if self.high < 0 else "tie"

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] {self.verdict}"

    def as_json(self) -> dict[str, object]:
        """The figures and the verdict."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "verdict": self.verdict}


def paired_lead(one: Sequence[Evaluation], other: Sequence[Evaluation], metric: str) -> Lead:
    """The lead on all users; each user's value is averaged over seeds."""
    one_U, other_U = (
        over_seeds([test.per_user for test in tests], metric) for tests in (one, other)
    )
    return Lead.between(one_U, other_U)


def over_seeds(
    tables: Sequence[Mapping[str, NDArray[np.float64]]], metric: str
) -> NDArray[np.float64]:
    """Each user's value [U], averaged over seeds; NaN for a user who cannot be scored."""
    value_SU = np.stack([table[metric] for table in tables])
    return np.asarray(value_SU.mean(axis=0), dtype=np.float64)


def opening(title: str, summary: str, seeds: Sequence[int], command: str) -> list[str]:
    """The first paragraphs of a section of Markdown; `command` is what made it."""
    return [
        f"## {title}",
        f"Data: {summary}.",
        f"Seeds: {', '.join(map(str, seeds))}. Made by:",
        f"```console\n{command}\n```",
    ]


def figure(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; empty if there is no value."""
    if not values:
        return ""
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds, for JSON."""
    return {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}
