"""A simulated lifecycle: nightly retraining on feedback beside the model of the start.

python -m deploy.benchmarks.lifecycle [--data DIR] [--share 0.3 | --start 1998-01-01] [--days 31]
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from deploy.benchmarks.lifecycle.report import (
    Day,
    Simulation,
    as_json,
    as_markdown,
    dates,
    draw,
    equal_parts,
    progress,
)
from deploy.benchmarks.lifecycle.simulation import SimulationError, simulate
from deploy.benchmarks.replay import Replay
from deploy.local.retrain import CONFIG
from deploy.local.sample import fetch_sample
from training.errors import ExplainedError
from training.reporting.documents import Outputs
from training.retrain.settings import read_config

_DESCRIPTION = """\
Replay the interactions of some days as feedback to two services: one is retrained every night, one
keeps the model of the start. Each day's lists are asked for before its interactions are reported,
and compared with what users liked that day."""


def main(arguments: list[str] | None = None) -> int:
    """Simulate and print; exit status 1 with a message if that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        simulation = _simulated(options)
        outputs = Outputs(json=options.json, document=options.document)
        section = as_markdown(simulation, _command(options), outputs.link(options.plot))
        outputs.write(f"{simulation.dataset} month", section, as_json(simulation))
        if options.plot:
            options.plot.write_text(draw(simulation), encoding="utf-8")
    except (ExplainedError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmarks.lifecycle", description=_DESCRIPTION
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="a data folder with times (default: the sample)"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        help="settings of the retraining; folders and server are replaced (default: that of "
        "`make retrain`)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--share",
        type=_share,
        default=0.3,
        help="days are equal parts of this share of the interactions, the newest (default: "
        "%(default)s)",
    )
    which.add_argument(
        "--start",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="days are those of the calendar (UTC), from this one on: for data in which enough "
        "users come on one date",
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=31,
        help="one more than there are nights (default: %(default)s)",
    )
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw quality by night")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


def _days(text: str) -> int:
    days = int(text)
    if days < 2:
        raise argparse.ArgumentTypeError(f"{text} days have no night between them; give 2 or more")
    return days


def _simulated(options: argparse.Namespace) -> Simulation:
    config = read_config(options.config, {"data.folder": options.data or fetch_sample()})
    replay = Replay.of(config.data)
    days = _chosen(replay, options)
    _say(f"{replay.source.stem}: {days[0].start} interactions before {days[0].name} ...")
    return simulate(replay, days, config, lambda simulation: _say(progress(simulation)))


def _chosen(replay: Replay, options: argparse.Namespace) -> Sequence[Day]:
    if options.start is None:
        return equal_parts(replay.seconds_N, options.share, options.days)
    days = dates(replay.seconds_N, options.start, options.days)
    if days[0].start == 0 or days[0].start == days[-1].stop:
        raise SimulationError(
            f"{replay.source}: {days[0].start} interactions came before {days[0].name}, and "
            f"{days[-1].stop - days[0].start} in the {options.days} days from then on; give "
            "another --start"
        )
    return days


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _command(options: argparse.Namespace) -> str:
    """The command line that makes the same report."""
    words = ["python", "-m", "deploy.benchmarks.lifecycle"]
    of_days = "share" if options.start is None else "start"
    for name in ("data", of_days, "days", "plot", "document"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name}", str(value)]
    if options.config != CONFIG:
        words += ["--config", str(options.config)]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
