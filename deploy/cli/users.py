"""The commands about users who are to be forgotten: `users erase`, `users erased`."""

import json

import click
from rich.table import Table

from deploy.cli.ask import asking, console, service_options
from model.registry.erasures import PARTS, Erasure
from model.registry.keys import KeySpace
from training.publish.command import server_options
from training.publish.connection import connected
from training.publish.erasures import ErasureRecords


@click.group
def users() -> None:
    """Forget users, and see how far that has come."""


@users.command
@click.argument("user_id", help="whom")
@service_options
def erase(user_id: str, url: str, as_json: bool) -> None:
    """Ask a running service to forget a user; needs a key with the scope `admin`.

    The user is unknown at once. The next retraining rewrites what training keeps.
    """
    with asking(url) as client:
        answer = client.erase_user(user_id)
    if as_json:
        click.echo(answer.model_dump_json(indent=1))
    else:
        click.echo(
            f"erasure {answer.erasure_id}: the user is unknown from now on; the next retraining "
            f"rewrites {', '.join(answer.waiting)}"
        )


@users.command
@click.option("--json", "as_json", is_flag=True, help="the list as JSON, without ids of users")
@server_options
def erased(as_json: bool, redis_url: str, namespace: str) -> int:
    """List the erasures of the last months: which parts are done, and which are still waiting.

    Users are named by their hash, as in the service's logs. The exit status is 0 if nothing
    waits, else 1.
    """
    with connected(redis_url) as client:
        found = ErasureRecords(client, KeySpace(namespace)).all()
    if as_json:
        told = [each.model_dump(mode="json", exclude={"user_id"}) for each in found]
        click.echo(json.dumps(told, indent=1))
    elif found:
        console().print(_table(found))
    else:
        click.echo("nobody has been erased")
    return 1 if any(each.waiting for each in found) else 0


def _table(found: list[Erasure]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("erasure", "user", "asked (UTC)", *PARTS):
        table.add_column(name)
    for each in found:
        states = [
            f"{each.done[part]:%Y-%m-%d %H:%M}" if part in each.done else "waiting"
            for part in PARTS
        ]
        asked = f"{each.requested_at:%Y-%m-%d %H:%M}"
        table.add_row(each.erasure_id, each.user_hash, asked, *states)
    return table
