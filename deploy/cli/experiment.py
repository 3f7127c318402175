"""The command that says which is better, the canary or the live model: `experiment`."""

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.cli.ask import asking, print_answer, service_options
from magnet_client import Comparison, ExperimentResponse, Interval, VariantCounts

NOT_BETTER = 3
_EPILOG = """\b
exit status:
  0  the figures were shown; with --check: the challenger is better
  1  a fault, or there has been no canary; the message says which
  2  the command line is wrong
  3  with --check: it is not known that the challenger is better"""


@click.command(epilog=_EPILOG)
@click.option("--check", is_flag=True, help="exit status 3 unless the challenger is better")
@service_options
def experiment(check: bool, url: str, as_json: bool) -> int:
    """Ask a running service whether the canary is better than the live model.

    Users are compared: of those who were answered a list, those who clicked. You may look as often
    as you like; the verdict holds all the same. It is about the latest canary if none runs.
    """
    with asking(url) as client:
        answer = client.experiment()
    print_answer(answer, show_experiment, as_json=as_json)
    return NOT_BETTER if check and answer.verdict != "challenger better" else 0


def show_experiment(answer: ExperimentResponse, out: Console) -> None:
    """Print counts, differences and the verdict."""
    out.print(Text(answer.summary, style="bold"))
    out.print(_counts(answer))
    for name, comparison in (("clicked", answer), ("purchased", answer.purchases)):
        out.print(Text(f"difference of users who {name}: {_difference(comparison)}"))
    since = answer.counted_since or answer.started_at
    end = "" if answer.ended_at is None else f", {answer.outcome} {answer.ended_at:%Y-%m-%d %H:%M}"
    out.print(Text(f"counted since {since:%Y-%m-%d %H:%M} UTC{end}", style="dim"))


def _counts(answer: ExperimentResponse) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    both = answer.champion, answer.challenger
    for name, each in zip(("champion", "challenger"), both, strict=True):
        table.add_column(f"{name} {each.model_version or ''}".rstrip(), justify="right")
    table.add_row("share of the users", f"{1 - answer.share:.1%}", f"{answer.share:.1%}")
    for what, row in (("users", _of_users), ("lists", _of_lists)):
        cells = zip(*(row(each) for each in both), strict=True)
        for label, values in zip((what, "  clicked", "  purchased"), cells, strict=True):
            table.add_row(label, *values)
    return table


def _of_users(each: VariantCounts) -> tuple[str, str, str]:
    return (
        f"{each.users:,}",
        _part(each.users_clicked, each.users),
        _part(each.users_purchased, each.users),
    )


def _of_lists(each: VariantCounts) -> tuple[str, str, str]:
    return (
        f"{each.lists:,}",
        _part(each.lists_clicked, each.lists),
        _part(each.lists_purchased, each.lists),
    )


def _part(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"


def _difference(found: Comparison) -> str:
    """The difference of click rates and its interval, in percentage points."""
    if found.difference is None or found.interval is None:
        return "none yet"
    valid = found.always_valid_interval
    always = "too few to say" if valid is None else f"{_points(valid)}, p {found.p_value:.2g}"
    return (
        f"{100 * found.difference:+.2f} percentage points; 95 % for one look: "
        f"{_points(found.interval)}; however often one looks: {always}"
    )


def _points(interval: Interval) -> str:
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
