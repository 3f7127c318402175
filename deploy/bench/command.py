"""`python -m deploy.bench`: run parts, print their tables, write `bench.json` and the document.

Knows the list of parts; knows nothing about what they measure.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.bench.batching_part import BATCHING
from deploy.bench.engine_part import ENGINE
from deploy.bench.http_part import HTTP
from deploy.bench.import_part import IMPORT
from deploy.bench.outage_part import OUTAGE
from deploy.bench.part import Part
from deploy.bench.reload_part import RELOAD, SOAK
from deploy.bench.results import add_figures
from deploy.bench.size_part import BYTES, MEMORY
from deploy.processes import ChildDied
from training.benchmark.document import update_document

PARTS: tuple[Part, ...] = (ENGINE, BATCHING, HTTP, RELOAD, OUTAGE, SOAK, MEMORY, BYTES, IMPORT)
RESULTS = Path("bench.json")


def _parts(names: str) -> list[Part]:
    by_name = {part.name: part for part in PARTS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'} is no part of it: choose from {','.join(by_name)}"
        )
    return [by_name[name] for name in wanted]


def run(parts: Sequence[Part], results: Path, document: Path | None) -> None:
    """Measure part after part; what is finished is written before the next begins."""
    for part in parts:
        sys.stderr.write(f"{part.name}: {part.summary} ...\n")
        outcome = part.measure()
        sys.stdout.write(f"{outcome.text}\n\n")
        sys.stdout.flush()
        add_figures(results, outcome.figures)
        if document is not None:
            update_document(document, f"bench {part.name}", outcome.text)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; exit status 1 with a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bench",
        description="Measure the service beside its peers and floors, in one run.",
        epilog="Parts: " + "; ".join(f"{part.name}: {part.summary}" for part in PARTS),
    )
    parser.add_argument(
        "--parts", type=_parts, default=list(PARTS), help="names with commas (default: all)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--document", type=Path, help="write each part's section into this file")
    options = parser.parse_args(arguments)
    try:
        run(options.parts, options.out, options.document)
    except (ChildDied, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0
