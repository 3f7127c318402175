"""The command `recommend`: a list from a running service, as a table.

Knows the client and tables; knows nothing about recommending.
"""

import argparse
import sys

from rich.console import Console
from rich.text import Text

from deploy.magnet.asking import add_service_options, asking
from deploy.magnet.bars import bar, console, figures, longest, terms
from magnet_client import RecommendationResponse
from training.commands import CommandLineError

_TITLE_WIDTH = 38
"""With rank, score and bar a line has 78 characters."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Ask a running service what to recommend to a user, to a session, or to a user in a "
        "session, and print each item's score as the sum of what the experts say."
    )
    parser.add_argument("user", nargs="?", help="the user's id; may be left out with --session")
    parser.add_argument(
        "--session",
        nargs="+",
        default=[],
        metavar="ITEM",
        help="ids of items that were looked at, oldest first",
    )
    parser.add_argument("-k", type=int, default=10, help="how many items (default: %(default)s)")
    parser.add_argument("--category", action="append", default=[], help="only these; repeat it")
    parser.add_argument(
        "--diversity", type=float, default=0.0, help="0: best first, to 1: most unlike each other"
    )
    add_service_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.user is None and not options.session:
        raise CommandLineError("whom? Name a user, --session ITEM ..., or both")
    with asking(options) as client:
        answer = client.recommend(
            options.user,
            session_items=options.session,
            k=options.k,
            categories=options.category,
            diversity=options.diversity,
        )
    if options.json:
        sys.stdout.write(answer.model_dump_json(indent=1) + "\n")
    else:
        show(answer, console())


def show(answer: RecommendationResponse, out: Console) -> None:
    """Print a list."""
    for warning in answer.warnings:
        out.print(Text(f"warning: {warning}", style="yellow"))
    if answer.missing_ids:
        out.print(Text(f"not in the model: {', '.join(answer.missing_ids)}", style="yellow"))
    if answer.fallback is not None:
        whom = answer.user_id or "the session"
        out.print(Text(f"nothing is known about {whom}: {answer.fallback} items", "yellow"))
    scored = [terms(item.bias, item.experts or []) for item in answer.items]
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
        for line in (Text.assemble(f"{item.rank:3d}  ", title, score, drawn), item_id):
            out.print(line, no_wrap=True, overflow="ellipsis")
    name = "model" if answer.variant == "champion" else answer.variant
    model = f"{name} {answer.model_version}"
    out.print(Text(f"{model}, {answer.took_ms:.1f} ms", style="dim"))
