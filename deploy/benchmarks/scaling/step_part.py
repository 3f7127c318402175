"""One step of training by the number of interactions: the same users, items and batch."""

import sys

from deploy.benchmarks.parts import Outcome, scale
from deploy.benchmarks.scaling.apart import apart
from deploy.benchmarks.scaling.data import FEATURE_WIDTH, Size, random_dataset
from deploy.benchmarks.scaling.footprint_part import StepCost, measure_step_cost
from training.data.files import peak_mb
from training.fit.config import TrainingConfig

USERS, ITEMS = 100_000, 40_000
INTERACTIONS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
_MODALITIES, _STEPS = 2, 3
_ANY_NUMBER = 10**6


def step_of(size: Size) -> tuple[StepCost, float]:
    """Cost of a step, and the peak of this process in MB."""
    dataset = random_dataset(size, _MODALITIES)
    config = TrainingConfig(max_steps=_ANY_NUMBER)
    cost, _ = measure_step_cost(dataset, config, _STEPS)
    return cost, peak_mb()


def measure() -> Outcome:
    """Steps at four sizes, each in a process of its own."""
    sizes = [Size(USERS, ITEMS, count).scaled(scale()) for count in INTERACTIONS]
    found = []
    for size in sizes:
        found.append(apart(step_of, size))
        sys.stderr.write(f"  {size}: {found[-1]}\n")
    whole = [cost.propagation + cost.pairs for cost, _ in found]
    rows = [
        {
            "interactions": f"{size.interactions:,}",
            "propagation s": f"{cost.propagation:.2f}",
            "pairs s": f"{cost.pairs:.2f}",
            "step s": f"{seconds:.2f}",
            "times the first": f"{seconds / whole[0]:.2f}",
            "training MB": f"{peak:,.0f}",
        }
        for size, (cost, peak), seconds in zip(sizes, found, whole, strict=True)
    ]
    return Outcome.of(
        {"step_growth_1m_to_8m": whole[-1] / whole[0], "step_8m_seconds": whole[-1]},
        f"**A step by interactions.** {sizes[0].users:,} users, {sizes[0].items:,} items, "
        f"{_MODALITIES} content modalities of {FEATURE_WIDTH} columns, {found[0][0].positives:,} "
        f"positives in a step; seconds of processor time on one thread, the least of {_STEPS} "
        f"steps. Eight times the interactions take {whole[-1] / whole[0]:.1f} times as long "
        "(aim: 2).",
        rows,
    )
