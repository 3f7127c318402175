"""What a warm start saves and costs: two retrainings of the sample on the same new events.

    python -m deploy.benchmarks.warm_start [--seeds N] [--new-share 0.02]

The newest interactions of MovieLens-100K are held back. A first retraining makes a model without
them; then they come in as feedback, and one retraining goes on from that model while another starts
from scratch. Both are the whole command, on the same data, judged on the same newest tenth.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from deploy.benchmarks.replay import Replay
from deploy.benchmarks.serving.rig import rig
from deploy.local.sample import fetch_sample
from model.registry.records import FeedbackEvent
from training.feedback.stream import send
from training.retrain.job import retrain
from training.retrain.runs import RunRecord
from training.retrain.settings import DataSettings, RetrainConfig


@dataclass(frozen=True, slots=True)
class Timed:
    """One run and what it took."""

    record: RunRecord
    cpu_seconds: float
    """Processor time, which other work on the machine hardly changes."""
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Print a table, one line per run."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmarks.warm_start",
        description="Compare a warm with a cold retraining on the sample.",
    )
    parser.add_argument("--seeds", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--new-share", type=float, default=0.02, help="held back as events; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    ratios = []
    sys.stdout.write("seed  run         CPU s  wall s  epochs  NDCG@20  Recall@20\n")
    for seed in range(options.seeds):
        warm, cold = _pair(seed, options.new_share)
        ratios.append(warm.cpu_seconds / cold.cpu_seconds)
    sys.stdout.write(f"warm over cold, processor time: {mean(ratios):.2f}\n")
    return 0


def _pair(seed: int, new_share: float) -> tuple[Timed, Timed]:
    with rig() as held:
        folder = held.folder
        replay = Replay.of(DataSettings(folder=fetch_sample()))
        held_back = len(replay.user_N) - round(new_share * len(replay.user_N))
        replay.write_first(held_back, folder / "data")
        now = datetime.now(UTC)
        reported = replay.events(held_back, len(replay.user_N))
        events = [FeedbackEvent.of(event, now) for event in reported]
        first = _timed("first", seed, folder, held.server.url, "warm")
        if not first.record.live:
            raise SystemExit(f"the first run ended otherwise: {first.record.reason}")
        for namespace in ("warm", "cold"):
            send(held.server.url, namespace, events)
        warm = _timed("warm", seed, folder, held.server.url, "warm")
        cold = _timed("cold", seed, folder, held.server.url, "cold")
    return warm, cold


def _timed(name: str, seed: int, folder: Path, redis_url: str, namespace: str) -> Timed:
    config = RetrainConfig.model_validate(
        {
            "state": folder / namespace,
            "redis_url": redis_url,
            "namespace": namespace,
            "data": {"folder": folder / "data"},
            "training": {"max_epochs": 40, "patience": 6, "seed": seed},
        }
    )
    cpu, wall = time.process_time(), time.monotonic()
    record = retrain(config)
    timed = Timed(record, time.process_time() - cpu, time.monotonic() - wall)
    metrics = record.metrics["challenger"]
    sys.stdout.write(
        f"{seed:4d}  {name:8s}  {timed.cpu_seconds:7.1f} {timed.seconds:7.1f}  "
        f"{len(record.history):6d}  {metrics['ndcg@20']:7.4f}  {metrics['recall@20']:9.4f}"
        f"  {record.result}\n"
    )
    sys.stdout.flush()
    return timed


if __name__ == "__main__":
    sys.exit(main())
