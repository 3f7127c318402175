"""The commands that say which version is live: models, promote, rollback, pin, unpin, canary.

Knows the command line; the transactions are in `training.publish.registry`.
"""

# FOLDED training/publish/command.py: The command `publish`: an artifact becomes the live model of a Redis-protocol server.
#
#   Knows the command line; the steps are in `training.publish`.
#

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from model.registry.canary import MAX_SHARE
from model.registry.keys import KeySpace
from training.cli.options import add_server_options
from training.publish import PublishPolicy, publish_artifact
from training.publish.connection import connected
from training.publish.registry import Registry


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Write an artifact to a Redis-protocol server, verify it there and make it live in one "
        "atomic step. A publish that fails or is killed changes nothing live."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    add_server_options(parser)
    parser.add_argument(
        "--keep",
        type=int,
        default=PublishPolicy().keep,
        help="superseded versions to keep for a roll-back (default: %(default)s)",
    )
    parser.set_defaults(run=_publish)


def _publish(options: argparse.Namespace) -> None:
    publish_artifact(
        options.artifact,
        options.redis_url,
        options.namespace,
        policy=PublishPolicy(keep=options.keep),
    )


_METRICS = ("test/ndcg@20", "test/recall@20")
_SHARE = 0.05
"""Ours: few are harmed by a bad model, and a shop with a thousand visitors still has fifty."""


def configure_models(parser: argparse.ArgumentParser) -> None:
    """Describe `models` and register its options."""
    parser.description = (
        "List the versions that are stored, which is live, previous, pinned or a canary, and what "
        "became of the latest canary."
    )
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


def configure_canary(parser: argparse.ArgumentParser) -> None:
    """Describe `canary` and register its options."""
    parser.description = (
        "Let a stored version serve a share of the users beside the live one, always the same "
        "users; `promote` makes it live. Without a version: what became of the latest canary."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "version",
        nargs="?",
        help="its name, as `models` lists it; the running canary's name changes its share",
    )
    what.add_argument("--stop", action="store_true", help="everybody gets the live version again")
    what.add_argument("--json", action="store_true", help="the latest canary as JSON, or null")
    parser.add_argument(
        "--share",
        type=float,
        default=_SHARE,
        help=f"of the users, above 0 and at most {MAX_SHARE} (default: %(default)s)",
    )
    _configure(parser, _canary)


def _configure(
    parser: argparse.ArgumentParser, action: Callable[[Registry, argparse.Namespace], str]
) -> None:
    add_server_options(parser)

    def run(options: argparse.Namespace) -> None:
        with connected(options.redis_url) as client:
            sys.stdout.write(action(Registry(client, KeySpace(options.namespace)), options))

    parser.set_defaults(run=run)


def _list(registry: Registry, options: argparse.Namespace) -> str:
    if options.json:
        return _as_json(registry)
    lines = [f"{'version':28s}{'published (UTC)':22s}{'NDCG@20':>9s}{'Recall@20':>11s}  role"]
    for stored in registry.versions():
        ndcg, recall = (stored.metrics.get(name) for name in _METRICS)
        lines.append(
            f"{stored.version:28s}{stored.published_at:%Y-%m-%d %H:%M:%S}   "
            f"{_figure(ndcg):>9s}{_figure(recall):>11s}  {', '.join(stored.roles)}".rstrip()
        )
    if registry.state().canary is not None:
        lines += ["", _latest_canary(registry)]
    return "\n".join(lines) + "\n"


def _latest_canary(registry: Registry) -> str:
    state = registry.state()
    canary, answers = state.canary, state.canary_answers
    if canary is None:
        return "there has been no canary"
    served = (
        f"{canary.version}, {canary.share:.1%} of the users since "
        f"{canary.started_at:%Y-%m-%d %H:%M} UTC, {answers} answers"
    )
    if canary.outcome is None:
        return f"canary: {served}"
    how = f"{canary.outcome.replace('_', ' ')} at {canary.ended_at:%Y-%m-%d %H:%M} UTC"
    return f"latest canary: {served}; {how}: {canary.reason}"


def _as_json(registry: Registry) -> str:
    stored = [asdict(each) for each in registry.versions()]
    return json.dumps(stored, indent=1, default=datetime.isoformat) + "\n"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _promote(registry: Registry, options: argparse.Namespace) -> str:
    registry.activate(options.version, pin=options.pin)
    return f"{options.version} is live{' and pinned' if options.pin else ''}\n"


def _roll_back(registry: Registry, _: argparse.Namespace) -> str:
    change = registry.roll_back()
    return (
        f"{change.after.live} is live and pinned, {change.before.live} was left; "
        "`unpin` lets the next publish go live\n"
    )


def _pin(registry: Registry, _: argparse.Namespace) -> str:
    return f"{registry.pin().pinned} is pinned\n"


def _unpin(registry: Registry, _: argparse.Namespace) -> str:
    pinned = registry.unpin().before.pinned
    return "nothing was pinned\n" if pinned is None else f"{pinned} is no longer pinned\n"


def _canary(registry: Registry, options: argparse.Namespace) -> str:
    if options.stop:
        stopped = registry.end_canary("stopped", "stopped by command").before.running
        return (
            "no canary runs\n" if stopped is None else f"{stopped.version} is no canary any more\n"
        )
    if options.json:
        return _canary_as_json(registry)
    if options.version is None:
        return _latest_canary(registry) + "\n"
    registry.start_canary(options.version, options.share)
    return f"{options.version} serves {options.share:.1%} of the users\n"


def _canary_as_json(registry: Registry) -> str:
    state = registry.state()
    if state.canary is None:
        return "null\n"
    told = state.canary.model_dump(mode="json") | {"answers": state.canary_answers}
    return json.dumps(told, indent=1) + "\n"
