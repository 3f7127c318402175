"""The command `explain`: why a running service gives an item its score.

Knows the client and tables; knows nothing about explaining.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.magnet.asking import add_service_options, asking
from deploy.magnet.bars import bar, colour, console, longest, sign, terms
from magnet_client import ExplanationResponse

_SHOWN_HISTORY = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Ask a running service to take the score of any item for a user apart: by expert, with the "
        "rank that the item would have without each; by modality and view; and by what speaks for "
        "it in the user's history."
    )
    parser.add_argument("user", help="the user's id")
    parser.add_argument("item", help="the item's id, recommended or not")
    add_service_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    with asking(options) as client:
        answer = client.explain(options.item, user_id=options.user)
    if options.json:
        sys.stdout.write(answer.model_dump_json(indent=1) + "\n")
    else:
        show(answer, console())


def show(answer: ExplanationResponse, out: Console) -> None:
    """Print an explanation."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    parts = terms(answer.bias, answer.experts)
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
    table = _table("what speaks for it", "adds", "share")
    for evidence in answer.history[:_SHOWN_HISTORY]:
        table.add_row(
            Text(evidence.title or evidence.item_id),
            f"{evidence.contribution:+.2f}",
            f"{evidence.share:.0%}",
        )
    return table
