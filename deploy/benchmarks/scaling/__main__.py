"""`python -m deploy.benchmarks.scaling`: measure parts, print tables, write `scale.json`."""

import argparse
import sys
from pathlib import Path

from deploy.benchmarks.scaling import footprint_part, import_part, setup_part, step_part
from deploy.benchmarks.serving.__main__ import chosen, run
from deploy.benchmarks.serving.rig import Part
from deploy.local.processes import ChildDied

PARTS = (
    Part(
        name="setup",
        summary="what a training sets up before its first step, by items",
        measure=setup_part.measure,
    ),
    Part(name="step", summary="a step of training, by interactions", measure=step_part.measure),
    Part(name="import", summary="own data of up to 100 million rows", measure=import_part.measure),
    Part(
        name="alone",
        summary="memory of training, Redis and service, behaviour alone",
        measure=footprint_part.measure_alone,
    ),
    Part(
        name="content",
        summary="memory of training, Redis and service, with two content modalities",
        measure=footprint_part.measure_content,
    ),
)
RESULTS = Path("scale.json")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; exit status 1 with a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmarks.scaling",
        description="Measure how time and memory grow with the data.",
        epilog="Parts: " + "; ".join(f"{part.name}: {part.summary}" for part in PARTS),
    )
    parser.add_argument(
        "--parts",
        type=lambda names: chosen(names, PARTS),
        default=list(PARTS),
        help="names with commas (default: all)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--document", type=Path, help="write each part's section into this file")
    options = parser.parse_args(arguments)
    try:
        run(options.parts, options.out, options.document, "scaling")
    except (ChildDied, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
