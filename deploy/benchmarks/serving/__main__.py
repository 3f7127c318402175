"""`python -m deploy.benchmarks.serving`: measure parts, print tables, write `bench.json`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.benchmarks.serving import (
    batching_part,
    bulk_part,
    disruption_part,
    engine_part,
    hiding_part,
    http_part,
    import_part,
    items_part,
    live_part,
    reasons_part,
    size_part,
    start_part,
    workers_part,
)
from deploy.benchmarks.serving.rig import Part
from deploy.local.processes import ChildDied
from training.data.files import write_durably
from training.reporting.documents import update_document

PARTS = (
    Part(
        name="engine",
        summary="top 20 routed and explained at four sizes of catalogue, against the floor",
        measure=engine_part.measure,
    ),
    Part(
        name="batching",
        summary="requests per second of one thread with and without sharing the pass over the "
        "items",
        measure=batching_part.measure,
    ),
    Part(
        name="bulk",
        summary="every user's list by `magnet recommend --all`, against the bare matrix products",
        measure=bulk_part.measure,
    ),
    Part(
        name="http",
        summary="requests per second over HTTP, beside implicit, Cornac and an empty route",
        measure=http_part.measure,
    ),
    Part(
        name="live",
        summary="processor time of a request with live events, and from a click to the list",
        measure=live_part.measure,
    ),
    Part(
        name="hiding",
        summary="lists right after a change with a million hidden items, and what that stalls",
        measure=hiding_part.measure,
    ),
    Part(
        name="items",
        summary="latency of lists while 100,000 items are put, and from a put item to the list",
        measure=items_part.measure,
    ),
    Part(
        name="reload",
        summary="models published and swapped under load: errors, torn answers, latency",
        measure=disruption_part.measure_reload,
    ),
    Part(
        name="redis",
        summary="Redis killed and restarted under load: errors, and time until answers are whole",
        measure=disruption_part.measure_outage,
    ),
    Part(
        name="soak",
        summary="half a million requests and 20 reloads: growth of memory",
        measure=disruption_part.measure_soak,
    ),
    Part(
        name="memory",
        summary="memory of a second worker of one machine",
        measure=size_part.measure_memory,
    ),
    Part(
        name="bytes",
        summary="memory of the server over the bytes that were published",
        measure=size_part.measure_bytes,
    ),
    Part(
        name="workers",
        summary="answers and processor time of one, two and four processes",
        measure=workers_part.measure,
    ),
    Part(
        name="start",
        summary="from the start of a process until it is ready",
        measure=start_part.measure,
    ),
    Part(
        name="reasons",
        summary="what naming items of the history adds to a list",
        measure=reasons_part.measure,
    ),
    Part(name="import", summary="own data, beside reading alone", measure=import_part.measure),
)
RESULTS = Path("bench.json")


def chosen(names: str, parts: Sequence[Part]) -> list[Part]:
    """The parts of these names with commas; an error of argparse if there is none of a name."""
    by_name = {part.name: part for part in parts}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'} is no part of it: choose from {','.join(by_name)}"
        )
    return [by_name[name] for name in wanted]


def add_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Put figures into the file, keeping those of other parts; it is never half-written.

    Raises:
        ValueError: the file holds something other than a JSON object.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    if not isinstance(kept, dict):
        raise ValueError(f"{path} is not a JSON object: move it away")
    text = json.dumps(kept | dict(figures), indent=1, sort_keys=True) + "\n"
    write_durably(path, lambda partial: partial.write_text(text))


def run(
    parts: Sequence[Part], results: Path, document: Path | None, section: str = "bench"
) -> None:
    """Measure one part after the other; write each one's results before the next begins."""
    for part in parts:
        sys.stderr.write(f"{part.name}: {part.summary} ...\n")
        outcome = part.measure()
        sys.stdout.write(f"{outcome.text}\n\n")
        sys.stdout.flush()
        add_figures(results, outcome.figures)
        if document is not None:
            update_document(document, f"{section} {part.name}", outcome.text)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; exit status 1 with a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmarks.serving",
        description="Measure the service beside its peers and floors, in one run.",
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
        run(options.parts, options.out, options.document)
    except (ChildDied, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
