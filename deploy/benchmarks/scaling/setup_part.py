"""What a training sets up before its first step, by the number of items.

As many users as items, ten interactions each, two content modalities.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.benchmarks.parts import Outcome, scale
from deploy.benchmarks.scaling.apart import apart
from deploy.benchmarks.scaling.data import FEATURE_WIDTH, Size, random_dataset
from training.data.features import Standardisation
from training.data.files import peak_mb, reset_peak
from training.fit.config import TrainingConfig
from training.fit.graphs import build_graph, spectral_start
from training.fit.item_item import item_item_weights

ITEMS = (40_000, 80_000, 160_000, 320_000)
_PER_USER = 10
_MODALITIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """Seconds of processor time of each step, and memory."""

    seconds: dict[str, float]
    wall: float
    """Seconds of all steps by the clock."""
    data_mb: float
    """Resident memory before the first step."""
    peak_mb: float


def set_up(items: int) -> SetUp:
    """Set up once, in this process."""
    dataset = random_dataset(Size(items, items, _PER_USER * items), _MODALITIES)
    features, histories = list(dataset.features.values()), dataset.train_histories
    dim = TrainingConfig().embedding_dim
    steps: dict[str, Callable[[], object]] = {
        "start": lambda: spectral_start(dataset.train, dim),
        "graph": lambda: build_graph(histories.recency_weighted(0.5), features),
        "item-item": lambda: item_item_weights(histories),
        "features": lambda: [Standardisation.of(x)(x) for x in features],
    }
    reset_peak()
    data_mb, seconds, wall = peak_mb(), {}, time.monotonic()
    for name, step in steps.items():
        before = time.process_time()
        step()
        seconds[name] = time.process_time() - before
    return SetUp(seconds=seconds, wall=time.monotonic() - wall, data_mb=data_mb, peak_mb=peak_mb())


def measure() -> Outcome:
    """Set up at four sizes, each in a process of its own."""
    sizes = [round(scale() * items) for items in ITEMS]
    found = []
    for items in sizes:
        found.append(apart(set_up, items))
        sys.stderr.write(f"  {items:,} items: {found[-1]}\n")
    totals = [sum(x.seconds.values()) for x in found]
    rows = [
        {
            "items": f"{items:,}",
            "start s": f"{x.seconds['start']:.1f}",
            "graphs and content neighbours s": f"{x.seconds['graph']:.1f}",
            "item-item model s": f"{x.seconds['item-item']:.1f}",
            "all s": f"{total:.1f}",
            "times the first": f"{total / totals[0]:.1f}",
            "MB above the data": f"{x.peak_mb - x.data_mb:,.0f}",
        }
        for items, x, total in zip(sizes, found, totals, strict=True)
    ]
    grown = totals[-1] / totals[0]
    return Outcome.of(
        {
            "setup_growth_40k_to_320k": grown,
            "setup_320k_seconds": totals[-1],
            "setup_320k_wall_seconds": found[-1].wall,
            "setup_mb_per_1000_items": (found[-1].peak_mb - found[0].peak_mb)
            / (sizes[-1] - sizes[0])
            * 1000,
        },
        f"**Set-up by items.** As many users as items, {_PER_USER} interactions for each, "
        f"{_MODALITIES} content modalities of {FEATURE_WIDTH} columns. Seconds of processor time "
        f"(of {os.cpu_count()} processors, `OMP_NUM_THREADS` as given). Eight times the items take "
        f"{grown:.1f} times as long (aim: 9), and {found[-1].wall:.0f} s by the clock (aim: 360).",
        rows,
    )
