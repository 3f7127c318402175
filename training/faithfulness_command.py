"""`faithfulness`: measure whether an artifact's explanations are true, and print the figures.

Knows the command line and the table; the measuring is in `faithfulness`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from training.commands import positive_number
from training.faithfulness import LISTED, Faithfulness, Pairs, Removal, measure_faithfulness
from training.held_out import HeldOut
from training.planted import read_planted

_USERS = 500
_REMOVALS: dict[Removal, str] = {
    "expert": "falls furthest without its expert",
    "expert_renormalised": "  the same, weights renormalised",
    "modality": "falls furthest without its modality",
}
_PAIRS: dict[Pairs, str] = {
    "recommended": f"leads as planted, top {LISTED}",
    "test": "leads as planted, test items",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Take apart the scores of users' recommendations and test items, as users "
        "were known in training, and print: the largest distance of a score from the sum of its "
        "parts; how often an item falls furthest without the expert that leads its explanation; "
        "and, where the data say which modality drives each user (planted.tsv), how often it is "
        "the one that leads."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    parser.add_argument("--data", type=Path, required=True, help="the folder it was trained on")
    parser.add_argument(
        "--users", type=positive_number, default=_USERS, help="users drawn (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.set_defaults(run=_measure)


def _measure(options: argparse.Namespace) -> None:
    held_out = HeldOut.open(options.artifact, options.data)
    modalities = held_out.artifact.manifest.modalities
    planted = read_planted(options.data, held_out.dataset.user_ids, modalities)
    result = measure_faithfulness(held_out, planted, options.users)
    sys.stdout.write("\n".join(as_text(result)) + "\n")
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=1) + "\n")


def as_text(result: Faithfulness) -> Iterator[str]:
    """The figures as lines: a share per pair, for both readings of what leads."""
    yield f"{result.users} users; largest error of a sum of parts: {result.additivity_error:.1e}"
    yield f"{'':42s}{'pairs':>8s}{'largest':>10s}{'above usual':>13s}"
    for removal, tests in result.deletion.items():
        largest, above = tests["largest"], tests["above_usual"]
        yield _row(_REMOVALS[removal], largest.passed, above.passed, largest.pairs)
        yield _row("  undecided", largest.undecided, above.undecided)
    for pairs, agreements in result.planted.items():
        readings = agreements["largest"], agreements["above_usual"]
        yield _row(_PAIRS[pairs], readings[0].share, readings[1].share, readings[0].pairs)
        for driver, share in readings[0].by_driver.items():
            yield _row(f"  {driver}", share, readings[1].by_driver[driver])


def _row(label: str, largest: float, above_usual: float, pairs: int | None = None) -> str:
    count = "" if pairs is None else f"{pairs:,}"
    return f"{label:42s}{count:>8s}{largest:10.4f}{above_usual:13.4f}"
