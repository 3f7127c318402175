"""The `retrain` command: one run, and an exit status that says what came of it.

Knows the command line and signals; the run itself is in `training.retrain.job`.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from training.publish.errors import LockHeldError
from training.retrain.job import retrain
from training.retrain.preview import preview
from training.retrain.record import Result
from training.retrain.settings import RetrainConfig, read_config

REFUSED, LOCKED = 3, 4
_STATUS: dict[Result | None, int] = {"promoted": 0, "canary": 0, "unchanged": 0, "refused": REFUSED}
_EPILOG = """\
exit status:
  0  a new model is live (or a canary, or stored while another is pinned), or nothing was to do
  1  a fault; the message says which, and nothing live was changed
  2  the command line is wrong
  3  the gate refused the new model; it is kept for inspection, and the live one serves on
  4  another retraining holds the lock
  143  stopped by SIGTERM"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "One run: take feedback over into the event log, train on it and on the data "
        "folder, from the live model's weights where they fit, compare both models on the newest "
        "positives, and publish the new one if the gate lets it through. Run it by cron: to kill "
        "it and to repeat it are both safe."
    )
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, required=True, help="TOML, see docs/lifecycle.md")
    parser.add_argument("--data", type=Path, help="instead of data.folder in the file")
    parser.add_argument("--state", type=Path, help="instead of state in the file")
    parser.add_argument(
        "--redis-url", help="instead of the variable REDIS_URL, which goes before the file"
    )
    parser.add_argument("--namespace", help="instead of namespace in the file")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the run's record as JSON on standard output"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    config = _config(options)
    if options.dry_run:
        sys.stdout.write(preview(config))
        return 0
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        record = retrain(config)
    except LockHeldError as error:
        sys.stderr.write(f"{error}\n")
        return LOCKED
    finally:
        signal.signal(signal.SIGTERM, before)
    line = record.model_dump_json() if options.json else f"{record.result}: {record.reason}"
    sys.stdout.write(f"{line}\n")
    return _STATUS[record.result]


def _config(options: argparse.Namespace) -> RetrainConfig:
    return read_config(
        options.config,
        {
            "data.folder": options.data,
            "state": options.state,
            "redis_url": options.redis_url or os.environ.get("REDIS_URL"),
            "namespace": options.namespace,
        },
    )


def _stop(number: int, _: FrameType | None) -> None:
    """Unwind, so that the lock is given back and the run is on record."""
    sys.exit(128 + number)
