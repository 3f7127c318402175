"""The commands that say which version is live: publish, models, promote, rollback, pin, canary."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from model.registry.canary import MAX_SHARE
from model.registry.keys import KeySpace
from model.registry.state import State
from training.cli.options import FOLDER, usable_namespace, with_options
from training.publish import PublishPolicy, publish_artifact
from training.publish.connection import connected
from training.publish.registry import Registry

_METRICS = ("test/ndcg@20", "test/recall@20")
_SHARE = 0.05
"""Ours: few are harmed by a bad model, and a shop with a thousand visitors still has fifty."""


server_options = with_options(
    click.option(
        "--redis-url",
        envvar="REDIS_URL",
        required=True,
        help="redis://[user:password@]host:port, redis+sentinel://host:port,.../master or "
        "redis+cluster://host:port,... (rediss: TLS)  [default: the variable REDIS_URL]; see "
        "docs/operations.md",
    ),
    click.option(
        "--namespace",
        envvar="MAGNET_NAMESPACE",
        default="default",
        show_default=True,
        callback=usable_namespace,
    ),
)
"""Which Redis, and which namespace in it."""


@contextmanager
def _registry(redis_url: str, namespace: str) -> Iterator[Registry]:
    with connected(redis_url) as client:
        yield Registry(client, KeySpace(namespace))


@click.command
@click.argument("artifact", type=FOLDER, help="an artifact folder")
@server_options
@click.option(
    "--keep",
    type=int,
    default=PublishPolicy().keep,
    show_default=True,
    help="superseded versions to keep for a roll-back",
)
@click.option(
    "--force", is_flag=True, help="replace the live model even if it seems to be another shop's"
)
def publish(artifact: Path, redis_url: str, namespace: str, keep: int, force: bool) -> None:
    """Write an artifact to a Redis-protocol server, verify it and make it live in one atomic step.

    A publish that fails or is killed changes nothing live. A model that shares hardly any item with
    the live one is refused: it seems to be another shop's.
    """
    publish_artifact(artifact, redis_url, namespace, policy=PublishPolicy(keep=keep, force=force))


@click.command
@click.option("--json", "as_json", is_flag=True, help="the list as JSON")
@server_options
def models(as_json: bool, redis_url: str, namespace: str) -> None:
    """List the versions that are stored, which is live, previous, pinned or a canary.

    Says as well what became of the latest canary.
    """
    with _registry(redis_url, namespace) as registry:
        if as_json:
            stored = [asdict(each) for each in registry.versions()]
            click.echo(json.dumps(stored, indent=1, default=datetime.isoformat))
        else:
            click.echo(_version_table(registry))


NOT_BETTER = 3
_PROMOTE_EPILOG = """\b
exit status:
  0  the version is live
  1  a fault; the message says which, and nothing live was changed
  2  the command line is wrong
  3  with --if-better: it is not known that the version is better, and nothing was changed"""


@click.command(epilog=_PROMOTE_EPILOG)
@click.argument("version", help="its name, as `models` lists it")
@click.option("--pin", is_flag=True, help="and keep it live whatever is published")
@click.option(
    "--if-better",
    is_flag=True,
    help="only if it is the running canary and its users click more often (`experiment`)",
)
@server_options
def promote(version: str, pin: bool, if_better: bool, redis_url: str, namespace: str) -> int:
    """Make a stored version live."""
    with _registry(redis_url, namespace) as registry:
        if if_better and (doubt := _doubt(registry, version)):
            click.echo(f"{version} is not promoted: {doubt}", err=True)
            return NOT_BETTER
        registry.apply(lambda state: state.activate(version, _now(), pin=pin))
    click.echo(f"{version} is live{' and pinned' if pin else ''}")
    return 0


def _doubt(registry: Registry, version: str) -> str | None:
    """Why it is not known that a version is better than the live one."""
    running = registry.state().running
    if running is None or running.version != version:
        return f"it is no canary, so nothing was compared; try it first: `canary {version}`"
    found = registry.experiment(running)
    return None if found.verdict == "challenger better" else found.summary


@click.command
@server_options
def rollback(redis_url: str, namespace: str) -> None:
    """Go back to the version before the live one, and pin it."""
    with _registry(redis_url, namespace) as registry:
        change = registry.apply(lambda state: state.roll_back(_now()))
    click.echo(
        f"{change.after.live} is live and pinned, {change.before.live} was left; "
        "`unpin` lets the next publish go live"
    )


@click.command
@server_options
def pin(redis_url: str, namespace: str) -> None:
    """Keep the live version live, whatever is published."""
    with _registry(redis_url, namespace) as registry:
        pinned = registry.apply(lambda state: state.pin(_now())).after.pinned
    click.echo(f"{pinned} is pinned")


@click.command
@server_options
def unpin(redis_url: str, namespace: str) -> None:
    """Let the next publish go live again."""
    with _registry(redis_url, namespace) as registry:
        pinned = registry.apply(State.unpin).before.pinned
    click.echo("nothing was pinned" if pinned is None else f"{pinned} is no longer pinned")


@click.command
@click.argument(
    "version",
    required=False,
    help="its name, as `models` lists it; the running canary's name changes its share",
)
@click.option("--stop", is_flag=True, help="everybody gets the live version again")
@click.option("--json", "as_json", is_flag=True, help="the latest canary as JSON, or null")
@click.option(
    "--share",
    type=float,
    default=_SHARE,
    show_default=True,
    help=f"of the users, above 0 and at most {MAX_SHARE}",
)
@server_options
def canary(
    version: str | None, stop: bool, as_json: bool, share: float, redis_url: str, namespace: str
) -> None:
    """Let a stored version serve a share of the users beside the live one, always the same users.

    `promote` makes it live. Without a version: what became of the latest canary.
    """
    if (version is not None) + stop + as_json > 1:
        raise click.UsageError("give a version, --stop or --json, not several of them")
    with _registry(redis_url, namespace) as registry:
        if stop:
            change = registry.apply(
                lambda state: state.end_canary("stopped", "stopped by command", _now())
            )
            stopped = change.before.running
            click.echo(
                "no canary runs" if stopped is None else f"{stopped.version} is no canary any more"
            )
        elif as_json:
            state = registry.state()
            told = state.canary and state.canary.model_dump(mode="json")
            click.echo(json.dumps(told and told | {"answers": state.canary_answers}, indent=1))
        elif version is None:
            click.echo(_latest_canary(registry.state()))
        else:
            registry.apply(lambda state: state.start_canary(version, share, _now()))
            click.echo(f"{version} serves {share:.1%} of the users")


def _now() -> datetime:
    return datetime.now(UTC)


def _version_table(registry: Registry) -> str:
    lines = [f"{'version':28s}{'published (UTC)':22s}{'NDCG@20':>9s}{'Recall@20':>11s}  role"]
    for stored in registry.versions():
        ndcg, recall = (
            f"{stored.metrics[name]:.4f}" if name in stored.metrics else "" for name in _METRICS
        )
        lines.append(
            f"{stored.version:28s}{stored.published_at:%Y-%m-%d %H:%M:%S}   "
            f"{ndcg:>9s}{recall:>11s}  "
            f"{', '.join([*stored.roles, *['early'] * stored.early])}".rstrip()
        )
    state = registry.state()
    if state.canary is not None:
        lines += ["", _latest_canary(state)]
    lines += state.warnings
    return "\n".join(lines)


def _latest_canary(state: State) -> str:
    latest = state.canary
    if latest is None:
        return "there has been no canary"
    served = (
        f"{latest.version}, {latest.share:.1%} of the users since "
        f"{latest.started_at:%Y-%m-%d %H:%M} UTC, {state.canary_answers} answers"
    )
    if latest.outcome is None:
        return f"canary: {served}"
    how = f"{latest.outcome.replace('_', ' ')} at {latest.ended_at:%Y-%m-%d %H:%M} UTC"
    return f"latest canary: {served}; {how}: {latest.reason}"
