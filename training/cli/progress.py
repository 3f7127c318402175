"""What a person sees while a model trains, who else is told of it, and the table of its metrics.

Where standard error is no terminal, no bar is drawn and lines are written instead.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from model.artifact.manifest import ArtifactManifest, EpochRecord
from training.cli.bars import drawn_bar
from training.data.dataset import Dataset
from training.evaluate.protocol import USER_GROUPS, unflattened
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.final_model import repeated
from training.fit.trained_model import TrainedModel

log = logging.getLogger(__name__)
_LEGEND = (
    "*: the best of its stage so far, by NDCG@20 on the validation part; coverage, pair: entropies "
    "of the routing, of all users and of each pair (1: all experts alike, 0: one expert decides)"
)
_COLUMNS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


class Listener:
    """Who is told how a training goes, beside the terminal: nobody.

    `training.publish.progress` tells a service. No method may fail or take time.
    """

    def step(self, name: str) -> None:
        """A step begins."""

    def data(self, dataset: Dataset, config: TrainingConfig) -> None:
        """The data have been read."""

    def epoch(self, record: EpochRecord, most: int, *, everything: bool = False) -> None:
        """An epoch of at most so many is done, perhaps one that learns what was held out too."""

    def model(self, manifest: ArtifactManifest) -> None:
        """A model has been written."""


NO_LISTENER = Listener()


@contextmanager
def epochs_shown(config: TrainingConfig) -> Iterator[Callable[[EpochRecord], None]]:
    """Yield what `train` calls with each epoch: it moves a bar on a terminal, or logs a line."""
    stage, best = "", 0.0

    def show(record: EpochRecord) -> None:
        nonlocal stage, best
        if draw is None and not stage:
            log.info(_LEGEND)
            log.info("epoch  stage               loss  ndcg@20  coverage  pair    s/epoch  at most")
        if record.stage != stage:
            stage, best = record.stage, 0.0  # the best is chosen anew in each stage
        mark = "*" if record.valid_ndcg20 > best else " "
        best = max(best, record.valid_ndcg20)
        if draw is None:
            log.info(_line(record, mark, config.max_epochs))
        else:
            note = f"{stage}, ndcg@20 {record.valid_ndcg20:.4f}, best {best:.4f}"
            draw(record.epoch, note)

    with drawn_bar("training", config.max_epochs) as draw:
        yield show


@contextmanager
def watched(config: TrainingConfig, listener: Listener) -> Iterator[Watch]:
    """Yield what `train` tells: a person, and a listener."""

    def on_epoch(record: EpochRecord) -> None:
        show(record)
        listener.epoch(record, config.max_epochs)

    with epochs_shown(config) as show:
        yield Watch(on_epoch=on_epoch, on_fusion=lambda: listener.step("fusion"))


def watched_to_the_end(config: TrainingConfig, found: TrainedModel, listener: Listener) -> Watch:
    """What `train_on_all` tells of `found`."""
    most = repeated(config, found)[0].max_epochs

    def on_epoch(record: EpochRecord) -> None:
        log_final_epoch(record)
        listener.epoch(record, most, everything=True)

    if config.held_out == "trained":
        listener.step("everything")
    return Watch(on_epoch=on_epoch)


def _line(record: EpochRecord, mark: str, max_epochs: int) -> str:
    left = (max_epochs - record.epoch) * record.seconds
    return (
        f"{record.epoch:5d}  {record.stage:14s}  {record.loss:8.4f}  "
        f"{record.valid_ndcg20:.4f}{mark}   {record.coverage_entropy:.4f}  "
        f"{record.pair_entropy:.4f}  {record.seconds:7.2f}  "
        f"{time.strftime('%H:%M:%S', time.gmtime(left))} left"
    )


def log_final_epoch(record: EpochRecord) -> None:
    """A line for an epoch that nothing validates."""
    log.info(f"on everything, epoch {record.epoch}: loss {record.loss:.4f}, {record.seconds:.2f} s")


def metrics_table(flat: Mapping[str, float]) -> str:
    """Metrics overall and by group, under the names of `Evaluation.flat`, as aligned text."""
    groups = unflattened(flat)
    overall = groups.pop("")
    users = sum(groups[name]["users"] for name in USER_GROUPS if name in groups)
    rows = {"all": {"users": users, **overall}, **groups}
    lines = [f"{'':14s}{'users':>8s}" + "".join(f"{name:>11s}" for name in _COLUMNS)]
    for name, values in rows.items():
        cells = "".join(f"{values[column]:11.4f}" for column in _COLUMNS)
        lines.append(f"{name:14s}{values['users']:8.0f}{cells}")
    lines.append(f"catalogue coverage@20: {overall['coverage@20']:.4f}")
    return "\n".join(lines)
