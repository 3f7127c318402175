"""What a warm start saves and costs: two retrainings of the sample on the same new events.

    python -m deploy.warm_start [--seeds N] [--new-share 0.02]

The newest interactions of MovieLens-100K are held back. A first retraining makes a model without
them; then they come in as feedback, and one retraining goes on from that model while another starts
from scratch. Both are the whole command, on the same data, judged on the same newest tenth. Knows
the retraining's settings and records only.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import polars as pl

from deploy.embedded import embedded_server
from deploy.sample import fetch_sample
from model.contract.feedback import FeedbackEvent
from training.event_log.sending import send
from training.interactions import read_interactions
from training.retrain.job import retrain
from training.retrain.record import RunRecord
from training.retrain.settings import RetrainConfig

_LIKED = 4
"""Stars."""


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
        prog="python -m deploy.warm_start",
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
    with tempfile.TemporaryDirectory(prefix="warm-start-") as name:
        folder = Path(name)
        events = _hold_back(fetch_sample(), folder / "data", new_share)
        with embedded_server(folder / "valkey", folder / "valkey.log") as server:
            first = _timed("first", seed, folder, server.url, "warm")
            if not first.record.live:
                raise SystemExit(f"the first run ended otherwise: {first.record.reason}")
            for namespace in ("warm", "cold"):
                send(server.url, namespace, events)
            warm = _timed("warm", seed, folder, server.url, "warm")
            cold = _timed("cold", seed, folder, server.url, "cold")
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


def _hold_back(source: Path, folder: Path, share: float) -> list[FeedbackEvent]:
    """Write the data folder without its newest interactions; return these as events."""
    path = next(source.glob("*.inter"))
    rows = pl.read_csv(path, separator="\t", infer_schema=False)
    when = next(name for name in rows.columns if name.startswith("timestamp"))
    rows = rows.sort(pl.col(when).cast(pl.Float64), maintain_order=True)
    kept = len(rows) - round(share * len(rows))
    folder.mkdir()
    rows.head(kept).write_csv(folder / path.name, separator="\t", quote_style="never")
    for other in source.iterdir():
        if other != path:
            (folder / other.name).symlink_to(other.resolve())
    rows.tail(len(rows) - kept).write_csv(folder.parent / "new.inter", separator="\t")
    return _events(folder.parent / "new.inter")


def _events(path: Path) -> list[FeedbackEvent]:
    rows = read_interactions(path)
    assert rows.rating_N is not None
    assert rows.timestamp_N is not None
    return [
        FeedbackEvent(
            event_id=f"held-back-{n}",
            user_id=rows.user_ids[rows.user_N[n]],
            item_id=rows.item_ids[rows.item_N[n]],
            type="like" if rows.rating_N[n] >= _LIKED else "view",
            timestamp=datetime.fromtimestamp(rows.timestamp_N[n], UTC),
            received_at=datetime.now(UTC),
        )
        for n in range(len(rows.user_N))
    ]


if __name__ == "__main__":
    sys.exit(main())
