"""`report`: draw a portrait of an artifact.

Knows the command line; what is drawn is in the other modules.
"""

import argparse
import logging
import sys
from pathlib import Path

from model.artifact.files import read_artifact
from training.cli.app import positive_number
from training.data.files import write_durably
from training.experiments.model_report.findings import find, make_lists
from training.experiments.model_report.page import render

log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Draw what an artifact has learnt, as one HTML page that needs no network: which experts "
        "serve which users and items, what its lists show of the long tail, and where items lie."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    parser.add_argument(
        "--out",
        type=Path,
        help="where to write the page (default: ARTIFACT.html)",
    )
    parser.add_argument(
        "--users",
        type=positive_number,
        default=1000,
        help="users whose lists are made (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw of users and items (default: %(default)s)"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    folder: Path = options.artifact.resolve()
    artifact = read_artifact(folder)
    lists = make_lists(
        artifact,
        options.users,
        options.seed,
        lambda done, of: log.info(f"lists of {done:,} of {of:,} users"),
    )
    out = options.out or folder.with_name(f"{folder.name}.html")
    page = render(artifact.manifest, find(artifact, lists, options.seed))
    write_durably(out, lambda partial: partial.write_text(page))
    sys.stdout.write(f"{out}\n")
