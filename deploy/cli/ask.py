"""The commands that ask a running service: `recommend`, `explain`, `similar`, `user`."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.cli.rules import given_rules, rule_options
from magnet_client import (
    Adjustment,
    Client,
    ExpertContribution,
    ExplanationResponse,
    Forbidden,
    MagnetError,
    RecommendationResponse,
    ServiceAway,
    SimilarResponse,
    Unauthenticated,
    UserResponse,
)
from magnet_client.client import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE
from training.cli.options import (
    FILE,
    FOLDER,
    Command,
    Several,
    checked,
    ray_option,
    with_options,
)

service_options = with_options(
    click.option(
        "--url",
        envvar=URL_VARIABLE,
        default=DEFAULT_URL,
        show_default=True,
        help=f"the service's, also in the variable {URL_VARIABLE}; a key goes into the variable "
        f"{KEY_VARIABLE}",
    ),
    click.option("--json", "as_json", is_flag=True, help="print the service's answer as it is"),
)


@contextmanager
def asking(url: str) -> Iterator[Client]:
    """A client of the service at `url`.

    Raises:
        click.ClickException: for everything that a call raises, with what to do about it.
    """
    try:
        with Client(
            url, api_key=os.environ.get(KEY_VARIABLE), trust_env=not _is_here(url)
        ) as client:
            yield client
    except ServiceAway as error:
        raise click.ClickException(
            f"{error} `magnet run` starts one on this machine; --url names another"
        ) from error
    except (Unauthenticated, Forbidden) as error:
        raise click.ClickException(
            f"{error}; put a key that has the scope into {KEY_VARIABLE} (`magnet keys new`)"
        ) from error
    except (MagnetError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _is_here(url: str) -> bool:
    """Whether the address is of this machine, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


Answer = TypeVar("Answer", bound=BaseModel)
_WIDTH = 24
"""Characters of the longest bar: with titles and figures a line fits into 100."""
_WIDE = 120
_NAMED = 3
"""Terms of a line: the bias and the two experts that say most; `explain` has all."""
BIAS = "popularity"
_SIGNS = {BIAS: "░", "dominant": "█", "complementary": "▒", "balanced": "▓"}
"""Told apart without colours too."""
_COLOURS = {
    BIAS: "#767c85",
    "dominant": "#0072b2",
    "complementary": "#e69f00",
    "balanced": "#009e73",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a score."""

    name: str
    role: str
    value: float


def terms(
    bias: float,
    experts: Sequence[ExpertContribution],
    adjustments: Sequence[Adjustment],
) -> list[Term]:
    """The summands of a score, those of no weight left out."""
    parts = [Term(each.name, each.kind, each.points) for each in adjustments]
    parts += [Term(each.name, each.role, each.contribution) for each in experts]
    return [each for each in (Term(BIAS, BIAS, bias), *parts) if each.value != 0]


def longest(lists: Sequence[Sequence[Term]]) -> float:
    """What the longest of some bars stands for."""
    return max((sum(each.value for each in parts if each.value > 0) for parts in lists), default=0)


def bar(parts: Sequence[Term], reach: float) -> Text:
    """The terms above zero, as shares of `reach`; what is below zero is told by the figures."""
    text, drawn, total = Text(), 0, 0.0
    for part in parts:
        total += max(part.value, 0.0)
        end = round(_WIDTH * total / reach) if reach > 0 else 0
        text.append(sign(part.role) * (end - drawn), style=colour(part.role))
        drawn = end
    return text


def figures(parts: Sequence[Term]) -> Text:
    """The first terms in words, each beside its sign, and the sum of the others."""
    text = Text()
    for part in parts[:_NAMED]:
        text.append(sign(part.role), style=colour(part.role))
        text.append(f" {part.name} {part.value:+.2f}  ")
    if rest := parts[_NAMED:]:
        text.append(f"{len(rest)} more {sum(part.value for part in rest):+.2f}")
    text.rstrip()
    return text


def console() -> Console:
    """Standard output, as wide as the terminal; wide enough for a line where it is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_answer(answer: Answer, show: Callable[[Answer, Console], None], *, as_json: bool) -> None:
    """Print what a service has answered, as it is or for people."""
    if as_json:
        click.echo(answer.model_dump_json(indent=1))
    else:
        show(answer, console())


def sign(role: str) -> str:
    """The character that a role is drawn with."""
    return _SIGNS.get(role, "▪")


def colour(role: str) -> str:
    """The colour that it has in the page too."""
    return _COLOURS.get(role, "")


_SHOWN_HISTORY = 5


@click.command
@click.argument("user", help="the user's id")
@click.argument("item", help="the item's id, recommended or not")
@service_options
def explain(user: str, item: str, url: str, as_json: bool) -> None:
    """Ask a running service to take the score of any item for a user apart.

    By expert, with the rank that the item would have without each; by modality and view; and by the
    items of the user's history that raise it most.
    """
    with asking(url) as client:
        answer = client.explain(user, item)
    print_answer(answer, show_explanation, as_json=as_json)


def show_explanation(answer: ExplanationResponse, out: Console) -> None:
    """Print an explanation."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    parts = terms(answer.bias, answer.experts, answer.adjustments)
    out.print(Text(answer.sentence, style="bold"))
    experts = sum(expert.contribution for expert in answer.experts)
    about = "about " if answer.ranks_are_estimates else ""
    notes = [f"rank {about}{answer.rank} of {answer.ranked_items}"]
    notes += ["seen"] if answer.seen else []
    notes += [] if answer.available else ["hidden at the moment"]
    out.print(f"score {answer.score:.2f} = popularity {answer.bias:+.2f}, experts {experts:+.2f}")
    out.print(Text(", ".join(notes)))
    out.print(bar(parts, longest([parts])))
    out.print()
    out.print(_experts(answer))
    out.print()
    out.print(_matrix(answer))
    if answer.history:
        out.print()
        out.print(_history(answer))
    out.print(Text(f"model {answer.model_version}, {answer.took_ms:.1f} ms", style="dim"))


def _table(*columns: str) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _experts(answer: ExplanationResponse) -> Table:
    table = _table("expert", "weight", "usually", "adds", "rank without it")
    for expert in answer.experts:
        table.add_row(
            Text.assemble((sign(expert.role), colour(expert.role)), f" {expert.name}"),
            f"{expert.weight:.0%}",
            f"{expert.usual_weight:.0%}",
            f"{expert.contribution:+.2f}",
            str(expert.rank_without),
        )
    return table


def _matrix(answer: ExplanationResponse) -> Table:
    views = list(answer.by_view)
    table = _table("modality", *views, "together")
    for modality, total in answer.by_modality.items():
        cells = (f"{answer.matrix[modality][view]:+.2f}" for view in views)
        table.add_row(Text(modality), *cells, f"{total:+.2f}")
    return table


def _history(answer: ExplanationResponse) -> Table:
    table = _table("items that contribute most", "adds", "share")
    for evidence in answer.history[:_SHOWN_HISTORY]:
        table.add_row(
            Text(evidence.title or evidence.item_id),
            f"{evidence.contribution:+.2f}",
            f"{evidence.share:.0%}",
        )
    return table


_TITLE_WIDTH = 38
"""With rank, score and bar a line has 78 characters."""


@click.command(cls=Command)
@click.argument(
    "user", required=False, help="the user's id; may be left out with --session or --all"
)
@click.option(
    "--session",
    cls=Several,
    metavar="ITEM",
    help="ids of items that were looked at, oldest first",
)
@click.option("-k", "--k", type=int, default=10, show_default=True, help="how many items")
@click.option("--category", multiple=True, help="only these; repeat it")
@click.option(
    "--diversity",
    type=float,
    default=0.0,
    show_default=True,
    help="0: best first, to 1: most unlike each other",
)
@rule_options
@click.option("--all", "everybody", is_flag=True, help="all users, without a service; needs --out")
@click.option("--out", type=FILE, help="with --all: the Parquet file that gets the lists")
@click.option(
    "--artifact",
    type=FOLDER,
    help="with --all: the model  [default: the live one at REDIS_URL, see docs/configuration.md]",
)
@click.option("--no-reasons", is_flag=True, help="with --all: lists alone, which is faster")
@ray_option
@service_options
def recommend(
    user: str | None, session: tuple[str, ...] | None, url: str, as_json: bool, **options: Any
) -> None:
    """Ask a running service what to recommend to a user, to a session, or to a user in a session.

    Prints each item's score as the sum of what the experts say. With --all it computes every user's
    list itself; after an interruption the same command goes on where it ended.
    """
    options = given_rules(options)
    options["categories"] = list(options.pop("category"))
    bulk = BulkOptions(**{each.name: options.pop(each.name) for each in fields(BulkOptions)})
    bulk.check(user is not None or bool(session))
    if bulk.everybody:
        _write_all_lists(bulk, options)
        return
    if user is None and not session:
        raise click.UsageError("whom? Name a user, --session ITEM ..., or both; or --all")
    with asking(url) as client:
        answer = client.recommend(user, session_items=list(session or ()), **options)
    print_answer(answer, show, as_json=as_json)


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """The options of `recommend` that go with --all."""

    everybody: bool
    out: Path | None
    artifact: Path | None
    no_reasons: bool
    address: str | None

    def check(self, names_somebody: bool) -> None:
        """click.UsageError where they do not go together."""
        if self.everybody != (self.out is not None) or (self.artifact and not self.everybody):
            raise click.UsageError("--all and --out FILE go together, and --artifact with both")
        for name, given in (("--no-reasons", self.no_reasons), ("--ray", self.address)):
            if given and not self.everybody:
                raise click.UsageError(f"{name} goes with --all")
        if self.everybody and names_somebody:
            raise click.UsageError("--all is for every user: name no user and no --session with it")


def _write_all_lists(bulk: BulkOptions, options: dict[str, Any]) -> None:
    # The service and its numerical libraries take a second to load, which asking does not need.
    from deploy.cli.bulk import said_of_short, write_lists  # noqa: PLC0415
    from service.ops.settings import Settings  # noqa: PLC0415
    from service.schemas.errors import RequestRefused  # noqa: PLC0415
    from service.schemas.requests import RecommendationRequest  # noqa: PLC0415
    from training.cluster.engine import engine_at  # noqa: PLC0415

    assert bulk.out is not None
    artifact, out, address = bulk.artifact, bulk.out, bulk.address
    if artifact is not None and address is not None:
        artifact = artifact.resolve()
    chosen = {} if artifact is None else {"artifact_dir": artifact}
    if bulk.no_reasons:
        options["explain"] = "none"
    request = checked(RecommendationRequest, options | {"user_id": "everybody"})
    try:
        with engine_at(address) as engine:
            count = write_lists(Settings.from_environment(**chosen), request, out, engine)
    except (OSError, RequestRefused) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: the lists of {count:,} users")
    if said := said_of_short(out):
        click.echo(said)


@click.command
@click.argument("item", help="the item's id")
@click.option("-k", type=int, default=10, show_default=True, help="how many items")
@click.option("--modality", help="by this one alone  [default: by the mean of all]")
@service_options
def similar(item: str, k: int, modality: str | None, url: str, as_json: bool) -> None:
    """Ask a running service which items are most like one."""
    with asking(url) as client:
        answer = client.similar(item, k=k, modality=modality)
    print_answer(answer, show_similar, as_json=as_json)


@click.command(name="user")
@click.argument("user_id", metavar="USER", help="the user's id")
@click.option("--limit", type=int, default=20, show_default=True, help="most items of the history")
@service_options
def user(user_id: str, limit: int, url: str, as_json: bool) -> None:
    """Ask a running service what is known of a user: history, latest events, taste."""
    with asking(url) as client:
        answer = client.user(user_id, limit=limit)
    print_answer(answer, show_user, as_json=as_json)


def show(answer: RecommendationResponse, out: Console) -> None:
    """Print a list."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    if answer.missing_ids:
        out.print(Text(f"not in the model: {', '.join(answer.missing_ids)}", style="yellow"))
    scored = [terms(item.bias, item.experts or [], item.adjustments) for item in answer.items]
    reach = longest(scored)
    for item, parts in zip(answer.items, scored, strict=True):
        title = Text(item.title or item.item_id, style="bold")
        title.truncate(_TITLE_WIDTH, overflow="ellipsis", pad=True)
        item_id = Text.assemble((f"     {item.item_id}  ", "dim"))
        if item.experts is None:
            score, drawn = f"{item.score:9.0f}  ", Text("interactions in training")
        else:
            score, drawn = f"{item.score:9.2f}  ", bar(parts, reach)
            item_id.append_text(figures(parts))
        why = [Text(f"     {reason}") for reason in item.reasons[:1]]
        for line in (Text.assemble(f"{item.rank:3d}  ", title, score, drawn), *why, item_id):
            out.print(line, no_wrap=True, overflow="ellipsis")
    name = "model" if answer.variant == "champion" else answer.variant
    model = f"{name} {answer.model_version}"
    out.print(Text(f"{model}, {answer.took_ms:.1f} ms", style="dim"))


def show_similar(answer: SimilarResponse, out: Console) -> None:
    """Print the items that are like one."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    out.print(Text(f"similar to {answer.title or answer.item_id}", style="bold"))
    modalities = list(answer.items[0].by_modality) if answer.items else []
    table = _table("item", "", "similarity", *modalities)
    table.columns[1].justify = "left"
    for item in answer.items:
        by_modality = (f"{item.by_modality[each]:.2f}" for each in modalities)
        title = Text(item.title or "")
        title.truncate(_TITLE_WIDTH, overflow="ellipsis")
        table.add_row(Text(item.item_id), title, f"{item.similarity:.2f}", *by_modality)
    out.print(table)
    out.print(Text(f"model {answer.model_version}, {answer.took_ms:.1f} ms", style="dim"))


def show_user(answer: UserResponse, out: Console) -> None:
    """Print what is known of a user."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    known = "known to the model" if answer.in_model else "known by events only"
    out.print(Text(f"{answer.user_id}: {known}, lists are from: {answer.source}", style="bold"))
    if answer.taste is not None:
        taste = answer.taste
        for name, shares in (
            ("modalities", list(taste.by_modality.items())),
            ("categories", [(each.name, each.share) for each in taste.categories]),
            ("experts", [(each.name, each.weight) for each in taste.experts]),
        ):
            out.print(Text(f"{name}: " + ", ".join(f"{x} {share:.0%}" for x, share in shares)))
    history = _table(f"history, newest of {answer.history_items} first", "")
    for item in answer.history:
        history.add_row(Text(item.title or item.item_id), "new" if item.live else "")
    out.print(history)
    if answer.events:
        events = _table("latest events", "type", "received")
        for event in answer.events:
            received = f"{event.received_at:%Y-%m-%d %H:%M}"
            events.add_row(Text(event.title or event.item_id), event.type, received)
        out.print(events)
    out.print(Text(f"model {answer.model_version}, {answer.took_ms:.1f} ms", style="dim"))
