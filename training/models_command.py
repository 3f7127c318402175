"""The commands that say which version is live: models, promote, rollback, pin, unpin.

Knows the command line; the transactions are in `training.publish.control`.
"""

import argparse
import sys
from collections.abc import Callable

from model.contract.keys import KeySpace
from training.publish.connection import connected
from training.publish.control import Control
from training.server_options import add_server_options

_METRICS = ("test/ndcg@20", "test/recall@20")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register all five."""
    _add(commands, "models", "list the versions that are stored, and which is live", _list)
    promoting = _add(commands, "promote", "make a stored version live", _promote)
    promoting.add_argument("version", help="its name, as `models` lists it")
    promoting.add_argument(
        "--pin", action="store_true", help="and keep it live whatever is published"
    )
    _add(commands, "rollback", "go back to the version before the live one, and pin it", _roll_back)
    _add(commands, "pin", "keep the live version live, whatever is published", _pin)
    _add(commands, "unpin", "let the next publish go live again", _unpin)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    action: Callable[[Control, argparse.Namespace], str],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    add_server_options(parser)

    def run(options: argparse.Namespace) -> None:
        with connected(options.redis_url) as client:
            sys.stdout.write(action(Control(client, KeySpace(options.namespace)), options))

    parser.set_defaults(run=run)
    return parser


def _list(control: Control, _: argparse.Namespace) -> str:
    lines = [f"{'version':28s}{'published (UTC)':22s}{'NDCG@20':>9s}{'Recall@20':>11s}  role"]
    for stored in control.versions():
        ndcg, recall = (stored.metrics.get(name) for name in _METRICS)
        lines.append(
            f"{stored.version:28s}{stored.published_at:%Y-%m-%d %H:%M:%S}   "
            f"{_figure(ndcg):>9s}{_figure(recall):>11s}  {', '.join(stored.roles)}".rstrip()
        )
    return "\n".join(lines) + "\n"


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
