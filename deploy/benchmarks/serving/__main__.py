"""`python -m deploy.benchmarks.serving`: measure parts, print tables, write `bench.json`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.benchmarks.serving.batching_part import BATCHING
from deploy.benchmarks.serving.disruption_part import OUTAGE, RELOAD, SOAK
from deploy.benchmarks.serving.engine_part import ENGINE
from deploy.benchmarks.serving.http_part import HTTP
from deploy.benchmarks.serving.import_part import IMPORT
from deploy.benchmarks.serving.rig import Part
from deploy.benchmarks.serving.size_part import BYTES, MEMORY
from deploy.local.processes import ChildDied
from training.reporting.documents import update_document


def add_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Put figures into the file, keeping those of other parts; it is never half-written.

    Raises:
        ValueError: what is there is not a JSON object.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    if not isinstance(kept, dict):
        raise ValueError(f"{path} is not a JSON object: move it away")
    text = json.dumps(dict(sorted({**kept, **figures}.items())), indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as scratch:
        scratch.write(text)
    try:
        os.chmod(scratch.name, 0o644)  # noqa: PTH101  # a scratch file is private
        Path(scratch.name).replace(path)
    except OSError:
        Path(scratch.name).unlink(missing_ok=True)
        raise


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
        prog="python -m deploy.benchmarks.serving",
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


if __name__ == "__main__":
    sys.exit(main())
