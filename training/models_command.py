"""The commands that say which version is live: models, promote, rollback, pin, unpin.

Knows the command line; the transactions are in `training.publish.control`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from model.contract.keys import KeySpace
from training.publish.connection import connected
from training.publish.control import Control
from training.server_options import add_server_options

_METRICS = ("test/ndcg@20", "test/recall@20")


def configure_models(parser: argparse.ArgumentParser) -> None:
    """Describe `models` and register its options."""
    parser.description = "List the versions that are stored, and which is live, previous or pinned."
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    _configure(parser, _list)


def configure_promote(parser: argparse.ArgumentParser) -> None:
    """Describe `promote` and register its options."""
    parser.description = "Make a stored version live."
    parser.add_argument("version", help="its name, as `models` lists it")
    parser.add_argument("--pin", action="store_true", help="and keep it live whatever is published")
    _configure(parser, _promote)


def configure_rollback(parser: argparse.ArgumentParser) -> None:
    """Describe `rollback` and register its options."""
    parser.description = "Go back to the version before the live one, and pin it."
    _configure(parser, _roll_back)


def configure_pin(parser: argparse.ArgumentParser) -> None:
    """Describe `pin` and register its options."""
    parser.description = "Keep the live version live, whatever is published."
    _configure(parser, _pin)


def configure_unpin(parser: argparse.ArgumentParser) -> None:
    """Describe `unpin` and register its options."""
    parser.description = "Let the next publish go live again."
    _configure(parser, _unpin)


def _configure(
    parser: argparse.ArgumentParser, action: Callable[[Control, argparse.Namespace], str]
) -> None:
    add_server_options(parser)

    def run(options: argparse.Namespace) -> None:
        with connected(options.redis_url) as client:
            sys.stdout.write(action(Control(client, KeySpace(options.namespace)), options))

    parser.set_defaults(run=run)


def _list(control: Control, options: argparse.Namespace) -> str:
    if options.json:
        return _as_json(control)
    lines = [f"{'version':28s}{'published (UTC)':22s}{'NDCG@20':>9s}{'Recall@20':>11s}  role"]
    for stored in control.versions():
        ndcg, recall = (stored.metrics.get(name) for name in _METRICS)
        lines.append(
            f"{stored.version:28s}{stored.published_at:%Y-%m-%d %H:%M:%S}   "
            f"{_figure(ndcg):>9s}{_figure(recall):>11s}  {', '.join(stored.roles)}".rstrip()
        )
    return "\n".join(lines) + "\n"


def _as_json(control: Control) -> str:
    stored = [asdict(each) for each in control.versions()]
    return json.dumps(stored, indent=1, default=datetime.isoformat) + "\n"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _promote(control: Control, options: argparse.Namespace) -> str:
    control.activate(options.version, pin=options.pin)
    return f"{options.version} is live{' and pinned' if options.pin else ''}\n"


def _roll_back(control: Control, _: argparse.Namespace) -> str:
    left, live = control.roll_back()
    return f"{live} is live and pinned, {left} was left; `unpin` lets the next publish go live\n"


def _pin(control: Control, _: argparse.Namespace) -> str:
    return f"{control.pin()} is pinned\n"


def _unpin(control: Control, _: argparse.Namespace) -> str:
    pinned = control.unpin()
    return "nothing was pinned\n" if pinned is None else f"{pinned} is no longer pinned\n"
