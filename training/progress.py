"""What a person sees while a model trains, and the table of its metrics.

Knows records and evaluations; knows nothing about how they came about.
"""

import logging
import time

from model.contract.manifest import EpochRecord
from training.config import TrainingConfig
from training.evaluation import Evaluation

log = logging.getLogger(__name__)
_COLUMNS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


class EpochLog:
    """One line per epoch, with the time that is left at most."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._stage: str | None = None
        self._best = 0.0

    def __call__(self, record: EpochRecord) -> None:
        """Log one epoch."""
        if self._stage is None:
            log.info("epoch  stage               loss  ndcg@20  coverage  pair    s/epoch  at most")
        if record.stage != self._stage:
            self._stage, self._best = record.stage, 0.0  # the best is chosen anew in each stage
        mark = "*" if record.valid_ndcg20 > self._best else " "
        self._best = max(self._best, record.valid_ndcg20)
        left = (self._config.max_epochs - record.epoch) * record.seconds
        log.info(
            f"{record.epoch:5d}  {record.stage:14s}  {record.loss:8.4f}  "
            f"{record.valid_ndcg20:.4f}{mark}   {record.coverage_entropy:.4f}  "
            f"{record.pair_entropy:.4f}  {record.seconds:7.2f}  "
            f"{time.strftime('%H:%M:%S', time.gmtime(left))} left"
        )


def metrics_table(evaluation: Evaluation) -> str:
    """Metrics overall and by group as aligned text."""
    overall = {"users": float(len(evaluation.users)), **evaluation.metrics}
    rows = {"all": overall, **evaluation.groups}
    lines = [f"{'':14s}{'users':>8s}" + "".join(f"{name:>11s}" for name in _COLUMNS)]
    for name, values in rows.items():
        cells = "".join(f"{values[column]:11.4f}" for column in _COLUMNS)
        lines.append(f"{name:14s}{values['users']:8.0f}{cells}")
    lines.append(f"catalogue coverage@20: {evaluation.metrics['coverage@20']:.4f}")
    return "\n".join(lines)
